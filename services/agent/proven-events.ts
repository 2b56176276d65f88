import { once } from 'node:events'
import net from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SocketEvent } from '#schemas'
import type { EventSource, OpenedEvents } from './event-source.ts'

/** ETW hands its events over up to 2.5 s late, and later on a busy machine. */
const WITHIN_MS = 10_000
const READ_EVERY_MS = 50

/**
 * For events whose layout is known from documents alone: they are believed once they have told rightly of a connection that this
 * process made, over loopback. Else the source is closed, and why is among the refusals. What is read meanwhile is lost.
 */
export async function provenEvents({ source, refusals }: OpenedEvents, withinMs = WITHIN_MS): Promise<OpenedEvents> {
  if (source === null) return { source, refusals }
  const wrong = await whatIsWrong(source, withinMs)
  if (wrong === null) return { source, refusals }
  source.close()
  return { source: null, refusals: [...refusals, `${source.mechanism}: ${wrong}`] }
}

async function whatIsWrong(source: EventSource, withinMs: number): Promise<string | null> {
  const { local, remote } = await connectOnce()
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; await sleep(READ_EVERY_MS)) {
    let events: readonly SocketEvent[]
    try {
      events = source.read().events
    } catch (error) {
      return (error as Error).message
    }
    const isOurs = ({ proto, local_port: a, remote_port: b }: SocketEvent) =>
      proto === 'tcp' && ((a === local && b === remote) || (a === remote && b === local))
    const connect = events.find(event => event.kind === 'connect' && isOurs(event))
    if (connect === undefined) continue
    if (connect.pid !== process.pid) return `it told pid ${connect.pid} of a connection of this process, ${process.pid}`
    return connect.local_port === local ? null : 'it told a connection of this process by the wrong end'
  }
  return `it did not tell of a connection of this process within ${withinMs / 1000} s`
}

/** The ports of a connection of this process to itself, which is over by then. */
async function connectOnce(): Promise<{ local: number; remote: number }> {
  const server = net.createServer(socket => socket.end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const remote = (server.address() as net.AddressInfo).port
  const client = net.connect(remote, '127.0.0.1').resume()
  await once(client, 'connect')
  const local = client.localPort!
  client.end()
  await once(client, 'close')
  server.close()
  return { local, remote }
}
