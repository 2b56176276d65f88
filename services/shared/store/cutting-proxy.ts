/** A TCP proxy for tests, which loses answers and connections. */
import { connect, createServer, type Socket } from 'node:net'

export interface CuttingProxy {
  port: number
  /** The next answer does not come through: the connection is cut once the server has sent it. */
  loseNextAnswer: () => void
  /** Answers lost so far. */
  readonly lost: number
  /** Cuts every connection; new ones come through. */
  cut: () => void
  close: () => Promise<void>
}

export async function startCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let armed = false
  let lost = 0
  const server = createServer(client => {
    const upstream = connect(targetPort, '127.0.0.1')
    const pair = [client, upstream] as const
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      for (const socket of pair) socket.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
    client.on('data', chunk => upstream.write(chunk))
    upstream.on('data', chunk => {
      if (armed) {
        armed = false
        lost++
        end()
      } else {
        client.write(chunk)
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const [client] of pairs) client.destroy()
  }
  return {
    port: (server.address() as { port: number }).port,
    loseNextAnswer: () => {
      armed = true
    },
    get lost() {
      return lost
    },
    cut,
    close: async () => {
      const closed = new Promise(resolve => server.close(resolve))
      cut()
      await closed
    },
  }
}
