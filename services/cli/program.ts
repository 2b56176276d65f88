import process from 'node:process'
import { Command, CommanderError } from 'commander'
import { ProclabelError } from '#shared/errors.ts'
import { exitCodeOf, exitCodes } from '#shared/exit-codes.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { addSettings } from './settings.ts'

const help = `
Exit status:
  0  done; every record was read
  1  a fault in proclabel itself
  2  wrong use, or an input that cannot be used: nothing was done
  3  done, but a capture or socket log is cut or damaged: what could be read is labeled
  4  done, but capture and socket log do not fit each other: another host, or another time
  5  the machine failed: disk full, an addon that does not load

Examples:
  tcpdump -i eth0 -w traffic.pcap & proclabel record --out sockets
  proclabel label traffic.pcap --sockets sockets --out labeled.jsonl
  proclabel report labeled.jsonl`

/** The commands by name, each made when it is needed. */
export type Commands = Readonly<Record<string, () => Promise<Command> | Command>>

/** Runs the command that the arguments of this process name; sets the exit status. `say` takes what is wrong with them. */
export async function runProgram(
  commands: Commands,
  say: (text: string) => void = text => process.stderr.write(text),
): Promise<void> {
  const program = new Command('proclabel')
    .description('Labels every network session in a capture with the process that owns it.')
    .version(packageJson.version)
    .exitOverride()
    .configureOutput({ writeErr: say })
    .showHelpAfterError('(--help tells the options)')
    .addHelpText('after', help)
  const first = process.argv[2] ?? ''
  const needed = Object.hasOwn(commands, first) ? [first] : Object.keys(commands)
  for (const name of needed) program.addCommand((await commands[name]!()).copyInheritedSettings(program))

  // A reader of our output that has seen enough closes the pipe: `proclabel label … | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.done)
    throw error
  })

  try {
    addSettings(program)
    await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUse
    else if (error instanceof ProclabelError) {
      say(`proclabel: ${error.message}\n`)
      process.exitCode = exitCodeOf(error)
    } else throw error
  }
}
