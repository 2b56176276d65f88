/**
 * The world as a witness: who speaks with it says its pid, so that nobody has to ask for a port. Prints a ProcessRun for each.
 *
 *   witness.ts                               listens on TCP and UDP port 7000, and says `ready`
 *   witness.ts visit ROLE ADDRESS PORT MS…   connects to a server after each so many ms; it says who it is
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ended, type LabNetwork, waitForOutput } from './network.ts'
import type { ProcessRun } from './process-runs.ts'

export const witnessPort = 7000
const script = fileURLToPath(import.meta.url)

/** Starts a witness in the world; `runs` fills with who has spoken with it: a text `PID NAME ROLE`. */
export async function startWitness(network: LabNetwork): Promise<ProcessRun[]> {
  const child = network.start('world', process.execPath, [script, 'listen'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const runs: ProcessRun[] = []
  let rest = ''
  await waitForOutput(child, 'ready\n')
  child.stdout!.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    runs.push(...lines.map(line => JSON.parse(line) as ProcessRun))
  })
  return runs
}

/** Connects from the world to a server of the host, that answers `PID NAME ROLE`, after each of so many milliseconds. */
export async function visit(network: LabNetwork, address: string, port: number, delaysMs: readonly number[]) {
  const args = [script, 'visit', address, String(port), ...delaysMs.map(String)]
  const child = network.start('world', process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const { status, output } = await ended(child)
  if (status !== 0) throw new Error(`no answer from ${address} ${port}`)
  return output
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as ProcessRun)
}

type Seen = Pick<ProcessRun, 'proto' | 'family' | 'local_port' | 'remote_port'>

function tell(seen: Seen, text: Buffer): void {
  const [pid, name = '', role = ''] = text.toString().trim().split(' ')
  console.log(JSON.stringify({ ...seen, pid: Number(pid), name, role } satisfies ProcessRun))
}

const familyOf = (address = ''): 4 | 6 => (net.isIPv4(address.replace('::ffff:', '')) ? 4 : 6)

async function visitOnce(address: string, port: number): Promise<void> {
  const client = net.connect(port, address)
  client.write('who?\n')
  const [text] = (await once(client, 'data')) as [Buffer]
  tell({ proto: 'tcp', family: familyOf(address), local_port: port, remote_port: client.localPort! }, text)
  client.destroy()
}

async function listen(): Promise<void> {
  const server = net.createServer(socket => {
    const { remotePort, remoteAddress } = socket
    const seen = { family: familyOf(remoteAddress), local_port: remotePort!, remote_port: witnessPort }
    socket.on('error', () => {})
    socket.once('data', text => {
      tell({ proto: 'tcp', ...seen }, text)
      socket.end()
    })
  })
  const datagrams = createSocket('udp6').on('message', (text, { address, port }) =>
    tell({ proto: 'udp', family: familyOf(address), local_port: port, remote_port: witnessPort }, text),
  )
  server.listen(witnessPort, '::')
  datagrams.bind(witnessPort, '::')
  await Promise.all([once(server, 'listening'), once(datagrams, 'listening')])
  console.log('ready')
}

if (process.argv[1] === script) {
  const [mode, address, port, ...delays] = process.argv.slice(2)
  if (mode === 'listen') await listen()
  else await Promise.all(delays.map(ms => sleep(Number(ms)).then(() => visitOnce(address!, Number(port)))))
}
