import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { Command } from 'commander'
import { loadNative } from '#native'
import { HostKey } from '#shared/bus/signed-records.ts'
import { InputError, ProclabelError } from '#shared/errors.ts'
import { RollingFile } from '#shared/rolling-file.ts'
import { type AgentFlags, agentCommand, agentOptions } from './agent.ts'
import { privacyOf } from './privacy-option.ts'
import type { Commands } from './program.ts'
import { mebibyte, spoolRoot } from './run-service.ts'
import { compileConnections } from './service-options.ts'

const name = 'proclabel'
const logFile = path.join(spoolRoot, 'agent.log')
const log = new RollingFile(logFile, { maxBytes: 10 * mebibyte, kept: 8 })

/** The agent as a service of Windows, which needs no other program to run or to end it. */
export const windowsServiceCommands: Commands = {
  install: () =>
    agentOptions(new Command('install'))
      .description(
        'makes the agent with these options a service, which Windows starts now and whenever it starts; needs an administrator',
      )
      .action(install),
  uninstall: () =>
    new Command('uninstall')
      .description('ends the service and takes it away; log and spool stay; needs an administrator')
      .action(uninstall),
  service: () =>
    agentCommand(new Command('service'), log)
      .description('what Windows starts: the agent as a service')
      .hook('preAction', start),
}

/** A service has no standard error: what keeps it from its start is in its log. */
export function tellInLog(text: string): void {
  const line = {
    level: 'fatal',
    time: new Date().toISOString(),
    service: 'agent',
    error: text.trim(),
    msg: 'not started',
  }
  log.write(`${JSON.stringify(line)}\n`)
}

function install(flags: AgentFlags, command: Command): void {
  for (const secret of ['kafka-password', 'registry-password']) {
    const option = command.options.find(({ long }) => long === `--${secret}`)!
    if (command.getOptionValueSource(option.attributeName()) === 'cli')
      throw new InputError('PROCLABEL_CONFIG', `every user can read how a service is started: give --${secret}-file`)
  }
  // What the agent would refuse is refused now.
  compileConnections(flags)
  privacyOf(flags)
  if (flags.hostKeyFile) new HostKey(flags.hostKeyFile)
  const place = process.argv.indexOf('install')
  const line = [process.execPath, ...process.argv.slice(2).with(place - 2, 'service')].map(quoted).join(' ')
  keepToAdministrators(spoolRoot)
  windows('sc.exe', 'create', name, 'binPath=', line, 'start=', 'auto', 'DisplayName=', 'proclabel agent')
  windows('sc.exe', 'description', name, 'Tells which process holds which socket.')
  windows('sc.exe', 'failure', name, 'reset=', '3600', 'actions=', 'restart/10000/restart/10000/restart/60000')
  windows('net.exe', 'start', name)
  process.stderr.write(`the service '${name}' runs; it logs to ${logFile}\n`)
}

function uninstall(): void {
  try {
    // It waits until the service has ended.
    windows('net.exe', 'stop', name)
  } catch {
    // Not running.
  }
  windows('sc.exe', 'delete', name)
}

/** In %ProgramData% every user may put files: records into the spool, too. */
function keepToAdministrators(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const [system, administrators] = ['*S-1-5-18', '*S-1-5-32-544']
  windows('icacls.exe', folder, '/setowner', administrators)
  const rights = [system, administrators].map(who => `${who}:(OI)(CI)F`)
  windows('icacls.exe', folder, '/inheritance:r', '/grant:r', ...rights)
}

/** A service that ends with another status than 0 has failed: Windows starts it again. */
function start(): void {
  try {
    loadNative().startService(() => process.emit('SIGTERM', 'SIGTERM') || process.exit())
  } catch (error) {
    const remedy = "'service' is for Windows to start: 'install' makes a service, 'agent' runs it here"
    throw new InputError('PROCLABEL_CONFIG', `${remedy} (${(error as Error).message})`, error)
  }
  process.on('exit', status => {
    if (status === 0) loadNative().endService()
  })
}

/** Runs a command of Windows. Throws ProclabelError with what it says. */
function windows(command: string, ...args: string[]): void {
  try {
    execFileSync(path.join(process.env.SystemRoot!, 'System32', command), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
  } catch (cause) {
    const { stdout, stderr, message } = cause as Error & { stdout?: string; stderr?: string }
    const said = `${stdout ?? ''} ${stderr ?? ''}`.replaceAll(/\s+/g, ' ').trim() || message
    throw new ProclabelError('PROCLABEL_SERVICE', `${command} ${args[0]}: ${said}`, { cause })
  }
}

/** As programs of Windows split their command line (learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments). */
const quoted = (argument: string): string =>
  /^[^\s"]+$/.test(argument) ? argument : `"${argument.replaceAll(/(\\*)("|$)/g, '$1$1$2').replaceAll('"', '\\"')}"`
