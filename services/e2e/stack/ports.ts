import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the ports that the kernel hands out by itself, so that a part that is stopped for a while finds its port free again. */
const firstPort = 20_000
const lastPort = 32_000
const taken = new Set<number>()

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** A loopback port that nothing uses, given out once by this process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(firstPort, lastPort)
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    return port
  }
}
