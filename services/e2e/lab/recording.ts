import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type LabNetwork, type Side, waitForOutput, worldAddress } from './network.ts'

export const proclabel = fileURLToPath(new URL('../../cli/proclabel.mjs', import.meta.url))

/** Addresses of the world, by number, that answer UDP: 1 to 60 and those that DNS answers give. */
const udpNumbers = Array.from({ length: 60 }, (_, i) => i + 1)

/** Starts the world's servers, on the side that has its addresses; resolves when they listen. `folder` takes their certificate. */
export async function startWorld(network: LabNetwork, folder: string, side: Side = 'world'): Promise<void> {
  const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`]
  const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=world`.split(
    ' ',
  )
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const addresses = udpNumbers.flatMap(n => [worldAddress(4, n), worldAddress(6, n)])
  const script = fileURLToPath(new URL('world.ts', import.meta.url))
  const own = ['192.0.2.1', '2001:db8::1']
  const world = network.start(side, process.execPath, [script, folder, ...own, ...addresses])
  await waitForOutput(world, 'ready')
}

/** A recording under way: `proclabel record` on the host, and tcpdump on the world's end of the wire, as a mirror port. */
export interface Recording {
  /** Ends both; resolves when their files are whole. */
  stop: () => Promise<void>
}

/**
 * Records the host's sockets as `hostId` into the folder `sockets`, and its packets into the file `capture`. `mechanism`: by
 * which kernel events.
 */
export async function startRecording(
  network: LabNetwork,
  {
    sockets,
    capture,
    hostId,
    mechanism = 'none',
  }: { sockets: string; capture: string; hostId: string; mechanism?: string },
): Promise<Recording> {
  const named = `hostname ${hostId} && exec "$@"` // in a UTS namespace of its own: nothing of this machine's name is recorded
  const recordArgs = [process.execPath, proclabel, 'record', '--out', sockets, '--host', hostId, '--events', mechanism]
  const record = network.start('host', 'unshare', ['--uts', 'sh', '-c', named, 'sh', ...recordArgs])
  const [dump] = await Promise.all([startDump(network, capture), waitForOutput(record, 'recording')])
  return {
    stop: async () => {
      await interrupt(record)
      await dump.stop()
    },
  }
}

/** Records the packets alone. */
export async function startDump(network: LabNetwork, capture: string): Promise<Recording> {
  // Each place of tcpdump's ring is as long as what it keeps of a frame: with all of it, 16 MiB are 64 places.
  const args = ['-i', 'eth0', '-w', capture, '-Z', 'root', '-B', '65536', '-s', '4096', '--immediate-mode']
  const dump = network.start('world', 'tcpdump', args)
  await waitForOutput(dump, 'listening on')
  return { stop: () => interrupt(dump) }
}

async function interrupt(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGINT')
  await exit
}
