/** Connections of loopback for measurements of agents. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Holds so many sockets, both ends of connections and who listens; closes them when it is called. */
export async function openConnections(count: number): Promise<() => void> {
  const held: Socket[] = []
  const server: Server = createServer(socket => held.push(socket))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const pairs = Math.floor((count - 1) / 2)
  await Promise.all(
    Array.from({ length: pairs }, async () => {
      const socket = connect(port, '127.0.0.1')
      held.push(socket)
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    }),
  )
  return () => {
    for (const socket of held) socket.destroy()
    server.close()
  }
}

/** Says how often it connected in a second, once its input ends. */
const script = `
import collections, random, socket, sys, threading, time
rate, hold = float(sys.argv[1]), float(sys.argv[2])
server = socket.create_server(("127.0.0.1", 0), backlog=1024)
def keep(held, one):
    held.append((time.monotonic() + hold, one))
    while held and held[0][0] <= time.monotonic(): held.popleft()[1].close()
def serve():
    held = collections.deque()
    while True: keep(held, server.accept()[0])
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
done = []
threading.Thread(target=lambda: done.append(sys.stdin.read()), daemon=True).start()
begun = time.monotonic()
count = 0
held = collections.deque()
while not done:
    keep(held, socket.create_connection(server.getsockname()))
    count += 1
    time.sleep(max(0, begun + (count + random.random()) / rate - time.monotonic()))
print(round(count / (time.monotonic() - begun)), flush=True)
`

export interface Load {
  /** Ends it; how many connections a second it made. */
  stop: () => Promise<number>
}

/** Connects so many times a second to itself, each at a random moment of its turn, and holds each connection for so many seconds. */
export async function startLoad(rate: number, holdS = 0): Promise<Load> {
  const child: ChildProcess = spawn('python3', ['-c', script, String(rate), String(holdS)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  return {
    stop: async () => {
      child.stdin!.end()
      const [told] = (await once(child.stdout!, 'data')) as [Buffer]
      return Number(told)
    },
  }
}
