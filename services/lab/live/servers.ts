import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Side, waitForOutput } from '../../e2e/lab/network.ts'
import { find, hostServers } from '../../e2e/lab/programs.ts'
import { startWorld } from '../../e2e/lab/recording.ts'
import { nameCacheHosts } from './daemons.ts'
import type { Equipped } from './equipment.ts'
import { serverPort, sharedPort, sshPort } from './mix.ts'
import { quicAddresses, quicScript } from './runtimes.ts'
import { hosts, type LabSwitch } from './switch.ts'

const mailServer = `
require('net').createServer(s => {
  s.on('error', () => {}).write('220 annex\\r\\n')
  let isData = false
  s.on('data', data => {
    for (const line of String(data).split('\\r\\n').slice(0, -1)) {
      if (isData) { if (line === '.') { isData = false; s.write('250 taken\\r\\n') } }
      else if (line === 'DATA') { isData = true; s.write('354 go on\\r\\n') }
      else if (line === 'QUIT') s.end('221 bye\\r\\n')
      else s.write('250 annex\\r\\n')
    }
  })
}).listen(25, '::', () => console.log('ready'))
`

/** Everything that programs talk to; runs until the network is closed. Resolves when all of it listens. `seconds`: for how long at least. */
export async function startServers(
  lab: LabSwitch,
  folder: string,
  seconds: number,
  { commands }: Equipped,
): Promise<void> {
  await startWorld(lab.network, folder, lab.worldSide)
  if (commands.quic) {
    const args = [quicScript, 'serve', folder, ...quicAddresses]
    const quic = lab.network.start(lab.worldSide, commands.quic, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await waitForOutput(quic, 'ready')
  }
  if (commands.dnsmasq) for (const place of nameCacheHosts) lab.useOwnResolver(hosts[place]!)
  const mail = lab.network.start('annex', process.execPath, ['-e', mailServer], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await waitForOutput(mail, 'ready')
  const sshd = sshConfiguration(folder)
  for (const side of [...hosts, 'annex']) await startSshd(lab, side, sshd)
  const { command, args } = hostServers['node, server']!(serverPort)
  const shapes = fileURLToPath(new URL('shapes.py', import.meta.url))
  for (const host of hosts) {
    const server = lab.network.start(host, command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await waitForOutput(server, 'ready')
    lab.network.start(host, find('python3'), [shapes, 'shared_port', String(sharedPort), String(seconds)], {
      stdio: 'ignore',
    })
  }
}

/** A host key that is also the user's. */
function sshConfiguration(folder: string): string {
  mkdirSync('/run/sshd', { recursive: true })
  const key = `${folder}/ssh-key`
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', key])
  const lines = [
    ...[`Port ${sshPort}`, `HostKey ${key}`, `AuthorizedKeysFile ${key}.pub`, 'StrictModes no', 'UsePAM no'],
    ...['PermitRootLogin prohibit-password', 'PidFile none', 'UseDNS no', 'MaxStartups 100'],
  ]
  writeFileSync(`${folder}/sshd-config`, `${lines.join('\n')}\n`)
  return `${folder}/sshd-config`
}

async function startSshd({ network }: LabSwitch, side: Side, configuration: string): Promise<void> {
  const child = network.start(side, '/usr/sbin/sshd', ['-D', '-e', '-f', configuration], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await waitForOutput(child, `port ${sshPort}`)
}
