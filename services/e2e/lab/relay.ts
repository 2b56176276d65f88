/**
 * Brings ports of this machine's loopback into a host of the laboratory, where they are on its loopback too: a network for
 * management, apart from the wire that is observed. Unix sockets lead from one to the other: they know no namespaces.
 */
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { type LabNetwork, type Side, waitForOutput } from './network.ts'

const loopback = '127.0.0.1'

/** Whoever connects to one end gets to the other. */
export async function relay(from: net.ListenOptions, to: net.NetConnectOpts): Promise<net.Server> {
  const server = net.createServer(near => {
    const far = net.connect(to)
    near.pipe(far).pipe(near)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
  })
  server.listen(from)
  await once(server, 'listening')
  return server
}

/** Resolves when the host reaches the ports; with what ends that, which the network's `close` does on the host's side. */
export async function bringPorts(
  network: LabNetwork,
  host: Side,
  folder: string,
  ports: readonly number[],
): Promise<() => void> {
  const pathOf = (port: number) => `${folder}/${host}-${port}.sock`
  const servers = await Promise.all(ports.map(port => relay({ path: pathOf(port) }, { host: loopback, port })))
  const pairs = ports.map(port => `${port}=${pathOf(port)}`)
  const inside = network.start(host, process.execPath, [fileURLToPath(import.meta.url), ...pairs], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await waitForOutput(inside, 'ready')
  return () => {
    for (const server of servers) server.close()
  }
}

if (import.meta.main) {
  for (const pair of process.argv.slice(2)) {
    const [port, path] = pair.split('=') as [string, string]
    await relay({ host: loopback, port: Number(port) }, { path })
  }
  console.log('ready')
}
