/**
 * A Windows program that talks to itself for a while, then writes its pid and its ports to a file. The other end has an address
 * that no interface has, so that an agent does not take it for its host's.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import net from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const otherEnd = '127.0.0.2'
/** Many polls, also of a busy machine. */
const holdMs = 3000
const server = net.createServer(socket => socket.pipe(socket)).listen(0, otherEnd)
const echo = dgram.createSocket('udp4').bind(0, otherEnd)
echo.on('message', (message, { port }) => echo.send(message, port, '127.0.0.1'))
await Promise.all([once(server, 'listening'), once(echo, 'listening')])

async function speakTcp() {
  const client = net.connect(server.address().port, otherEnd)
  await once(client, 'connect')
  client.write('a question')
  await Promise.all([once(client, 'data'), sleep(holdMs)])
  const { localPort } = client
  client.end()
  await once(client, 'close')
  return localPort
}

async function speakUdp() {
  const client = dgram.createSocket('udp4').bind(0, '127.0.0.1')
  await once(client, 'listening')
  client.send('a question', echo.address().port, otherEnd)
  await Promise.all([once(client, 'message'), sleep(holdMs)])
  const { port } = client.address()
  client.close()
  return port
}

const many = speak => Promise.all(Array.from({ length: 10 }, speak))
const [tcp, udp] = await Promise.all([many(speakTcp), many(speakUdp)])
writeFileSync(process.argv[2], JSON.stringify({ pid: process.pid, tcp, udp }))
process.exit(0)
