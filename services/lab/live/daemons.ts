import { worldAddress } from '../../e2e/lab/network.ts'
import { heldTcp, type Program } from '../../e2e/lab/programs.ts'
import { type Kind, minutes, names, type Place, shape } from './place.ts'
import { chromium, java, quic } from './runtimes.ts'

/** What runs all the time, each with a server of its own, as updaters, chats and telemetry have. */
export interface Daemon extends Omit<Kind, 'weight'> {
  /** Places among the hosts where it runs. */
  on: readonly number[]
}

/** Places of the hosts that ask a name cache of their own. */
export const nameCacheHosts = [2, 3]
const everywhere = [0, 1, 2, 3, 4, 5, 6]

const own = (n: number): string => worldAddress(4, 60 + n)

const leftSeconds = ({ leftMs }: Place): number => Math.ceil(leftMs / 1000)

export const daemons: readonly Daemon[] = [
  { name: 'telemetry', on: everywhere, program: place => shape('beat', own(1), 80, leftSeconds(place), 7) },
  { name: 'chat', on: everywhere, program: place => nodeChat(own(2), leftSeconds(place)) },
  {
    name: 'game',
    on: [0, 2, 5],
    program: place => shape('chatter', 5000, leftSeconds(place), ...[41, 42, 43].map(n => worldAddress(4, n))),
  },
  { name: 'name cache', on: nameCacheHosts, needs: 'dnsmasq', program: nameCache },
  { name: 'java updater', on: [1, 6], needs: 'java', program: place => java(place, 5000, ...javaPages(place)) },
  {
    name: 'chromium, left open',
    on: [0, 4],
    needs: 'chromium',
    program: place => chromium(place, '--remote-debugging-port=0', openPage),
  },
  { name: 'QUIC stream', on: [3, 5], needs: 'quic', program: place => quic(place, Math.round(place.leftMs), 1, 0) },
]

/** Connections of minutes, one after the other on each host. */
export const lasting: readonly Kind[] = [
  ...(['curl', 'wget', 'python', 'node, TLS', 'bash'] as const).map(name => ({
    name: `${name}, minutes`,
    weight: 1,
    program: (place: Place) => heldTcp[name]!(worldAddress(4, 1 + place.random.below(20)), minutes(place)),
  })),
  { name: 'QUIC, minutes', weight: 1, needs: 'quic', program: place => quic(place, minutes(place), 1, 0) },
]

/** A question every few seconds, and a stream that is opened anew when it ends. */
const openPage = `data:text/html,<script>
const ask = ms => fetch('https://${names[7]}/ms=' + ms + '/' + Math.random(), { mode: 'no-cors' }).catch(() => {})
setInterval(() => ask(200), 4000)
const stream = async () => { for (;;) { await ask(90000); await new Promise(go => setTimeout(go, 1000)) } }
stream()
</script>`

/** Keeps one connection, on which both sides are silent most of the time, and begins it anew when it is lost. */
function nodeChat(address: string, seconds: number): Program {
  const script = `
const [host, seconds] = process.argv.slice(1)
const connect = () => {
  const s = require('net').connect({ host, port: 80 }, () => s.write('GET /ms=' + 240000 + '/ HTTP/1.1\\r\\nhost: w\\r\\n\\r\\n'))
  s.on('error', () => {}).on('close', () => setTimeout(connect, 2000)).resume()
}
connect()
setTimeout(() => process.exit(0), seconds * 1000)
`
  return { command: process.execPath, args: ['-e', script, address, String(seconds)] }
}

const javaPages = (place: Place): string[] =>
  Array.from({ length: Math.ceil(leftSeconds(place) / 5) + 1 }, () => `http://${own(3)}/ms=300/`)

/** The host's resolver: all names are asked by it. */
function nameCache({ commands }: Place): Program {
  const args = ['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--server=192.0.2.1']
  return {
    command: commands.dnsmasq!,
    args: [...args, '--listen-address=127.0.0.1', '--bind-interfaces', '--user=root', '--pid-file='],
  }
}
