/**
 * The servers of the laboratory's world, in one process: HTTP 80, HTTPS 443, a greeting on 22, DNS 53 (UDP and TCP), a UDP
 * echo on 5000. Arguments: the folder of key.pem and cert.pem, then the addresses that answer UDP. Says `ready`.
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net, { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { worldAddress } from './network.ts'

const [folder, ...udpAddresses] = process.argv.slice(2)
const all = '::'

/** `/ms=800/…` is answered at once, and the answer ends after 800 ms; `/bytes=5000/…` makes it so long. */
const serve: http.RequestListener = async ({ url }, response) => {
  const asked = (name: string, otherwise: number) =>
    Number(new RegExp(`/${name}=(\\d+)`).exec(url ?? '')?.[1] ?? otherwise)
  response.writeHead(200, { 'content-type': 'text/plain', connection: 'close' })
  response.write('x'.repeat(asked('bytes', 100)))
  await sleep(asked('ms', 0))
  response.end('end\n')
}

const greetingHoldMs = 800

/** One answer to the first question: an address that the name's letters choose. `slow…` is answered after 400 ms. */
async function answerDns(query: Buffer): Promise<Buffer> {
  let end = 12
  while (query[end]) end += query[end]! + 1
  const question = query.subarray(12, end + 5)
  if (question.subarray(1, 5).toString() === 'slow') await sleep(400)
  const type = question.readUInt16BE(question.length - 4)
  const n = 100 + (question.reduce((sum, byte) => sum + byte, -type) % 100)
  const address = type === 1 ? ipv4Bytes(worldAddress(4, n)) : type === 28 ? ipv6Bytes(worldAddress(6, n)) : null
  const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, address ? 1 : 0, 0, 0, 0, 0])
  if (address === null) return Buffer.concat([header, question])
  const answer = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 1, 44, 0, address.length])
  return Buffer.concat([header, question, answer, address])
}

const ipv4Bytes = (ip: string) => Buffer.from(ip.split('.').map(Number))

/** Of the form 2001:db8:51::n. */
function ipv6Bytes(ip: string): Buffer {
  const bytes = Buffer.alloc(16)
  Buffer.from('20010db80051', 'hex').copy(bytes)
  bytes.writeUInt16BE(Number.parseInt(ip.split('::')[1]!, 16), 14)
  return bytes
}

const listen = (server: net.Server, port: number) =>
  new Promise<void>(resolve => server.listen(port, all, () => resolve()))

function bindUdp(address: string, port: number, answer: (message: Buffer) => Promise<Buffer> | Buffer): Promise<void> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  socket.on('message', async (message, { address: to, port: toPort }) => socket.send(await answer(message), toPort, to))
  return new Promise(resolve => socket.bind(port, address, () => resolve()))
}

const tls = { key: readFileSync(`${folder}/key.pem`), cert: readFileSync(`${folder}/cert.pem`) }
const greeter = net.createServer(socket => {
  socket.on('error', () => {})
  socket.write('SSH-2.0-Greeter\r\n')
  setTimeout(() => socket.destroy(), greetingHoldMs)
})
const dnsOverTcp = net.createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', async query => {
    const answer = await answerDns((query as Buffer).subarray(2))
    socket.end(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]))
  })
})
await Promise.all([
  listen(http.createServer(serve), 80),
  listen(https.createServer(tls, serve), 443),
  listen(greeter, 22),
  listen(dnsOverTcp, 53),
  ...udpAddresses.map(address => bindUdp(address, 53, answerDns)),
  ...udpAddresses.map(address => bindUdp(address, 5000, message => message)),
])
console.log('ready')
