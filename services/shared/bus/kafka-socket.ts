import net from 'node:net'
import tls from 'node:tls'
import type { ISocketFactory } from 'kafkajs'

const keepAliveMs = 60_000

/**
 * As kafkajs opens its sockets, but that keep-alive is asked for when the connection is there: asked for earlier, Node for Windows
 * fails to connect at all where the system does not know the option, as Wine does not.
 */
export const openKafkaSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const servername = net.isIP(host) === 0 ? { servername: host } : {}
  const socket = ssl
    ? tls.connect({ host, port, ...servername, ...ssl }, onConnect)
    : net.connect({ host, port }, onConnect)
  return socket.once('connect', () => socket.setKeepAlive(true, keepAliveMs))
}
