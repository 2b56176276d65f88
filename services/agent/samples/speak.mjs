/**
 * `serve`: answers HTTP on port 8080 and datagrams on 5300. `talk`: speaks with such a one by TCP for four seconds and by datagrams,
 * connected and not. Both write their pid, and what they used, as a line of JSON.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const say = facts => process.stdout.write(`${JSON.stringify({ pid: process.pid, ...facts })}\n`)

if (process.argv[2] === 'serve') {
  http.createServer((_, answer) => answer.end('hello')).listen(8080)
  const echo = dgram.createSocket('udp6').bind(5300)
  echo.on('message', (message, { port, address }) => echo.send(message, port, address))
  say({ program: 'node', serves: [8080, 5300] })
} else {
  const tcp = []
  const udp = []
  for (const host of ['192.0.2.20', '2001:db8::20']) {
    const socket = net.connect(8080, host)
    await once(socket, 'connect')
    tcp.push(socket.localPort)
    await sleep(2000)
    socket.end()
    await once(socket, 'close')
    const v = net.isIPv6(host) ? 6 : 4
    const free = dgram.createSocket(`udp${v}`)
    free.send('a question', 5300, host)
    await once(free, 'message')
    udp.push(free.address().port)
    free.close()
    const connected = dgram.createSocket(`udp${v}`)
    connected.connect(5300, host)
    await once(connected, 'connect')
    connected.send('a question')
    await once(connected, 'message')
    udp.push(connected.address().port)
    connected.close()
  }
  say({ program: 'node', tcp, udp })
}
