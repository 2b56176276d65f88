import { worldAddress } from '../../e2e/lab/network.ts'
import { brief, find, heldTcp, heldUdp, namedCurl, type Program } from '../../e2e/lab/programs.ts'
import { address, either, type Kind, length, moment, names, type Place, shape, shapesScript } from './place.ts'
import { runtimes } from './runtimes.ts'

/** On each host a Node server, and next to it three processes that share a port. */
export const serverPort = 8000
export const sharedPort = 8001
export const sshPort = 2222

const held = ['curl', 'curl, TLS', 'wget', 'python', 'node', 'node, TLS', 'bash', 'git', 'ssh'] as const
const asked = ['python, UDP', 'python, connected UDP', 'dig', 'dig, TCP'] as const

/** The mix of every run of the lab, in CI too. */
export const kinds: readonly Kind[] = [
  ...held.map(name => ({
    name,
    weight: name.startsWith('node') || name === 'ssh' ? 1 : 2,
    program: (place: Place) => heldTcp[name]!(address(place), length(place)),
  })),
  ...asked.map(name => ({
    name,
    weight: name === 'dig' ? 3 : 1,
    program: (place: Place) => heldUdp[name]!(address(place), length(place)),
  })),
  ...Object.entries(brief).map(([name, kind]) => ({
    name,
    weight: name.startsWith('refused') ? 1 : 4,
    program: (place: Place) => kind(address(place), 0),
  })),
  {
    name: 'curl by name',
    weight: 4,
    program: place => namedCurl(place.random.pick(names))(address(place), place.random.below(300)),
  },
  {
    name: 'curl, name looked up',
    weight: 2,
    program: ({ random }) => heldTcp.curl!(random.pick(names), random.below(100)),
  },
  { name: 'burst', weight: 1, program: place => shape('burst', address(place), 80, 10 + place.random.below(30), 0) },
  {
    name: 'pages',
    weight: 6,
    program: place => shape('burst', address(place), 80, 4 + place.random.below(12), moment(place)),
  },
  { name: 'pages by node', weight: 2, program: place => nodePages(place, 4 + place.random.below(12)) },
  ...runtimes,
  { name: 'crowd', weight: 0.5, program: place => shape('crowd', address(place), 80, 20, length(place)) },
  { name: 'UDP pings', weight: 2, program: place => shape('pings', address(place), 5000, 10) },
  {
    name: 'UDP chatter',
    weight: 1,
    program: place => shape('chatter', 5000, 2, worldAddress(4, 1), worldAddress(4, 2 + place.random.below(50))),
  },
  { name: 'fork after connect', weight: 1, program: place => shape('fork', address(place), 80) },
  { name: 'another program after connect', weight: 1, program: place => shape('become', address(place), 80) },
  { name: 'descriptor passed on', weight: 1, program: place => shape('hand_over', address(place), 80) },
  { name: 'multicast', weight: 0.5, program: ({ local }) => shape('announce', local, 2) },
  {
    name: 'port used again',
    weight: 1,
    program: place => {
      const [there, port] = [address(place), 41_000 + place.random.below(3)]
      return place.random.chance(0.5)
        ? { command: find('python3'), args: [shapesScript, 'from_port', there, '80', String(port)] }
        : { command: process.execPath, args: ['-e', nodeFromPort, there, String(port)] }
    },
  },
  {
    name: 'curl to a neighbour',
    weight: 3,
    program: place => curlTo(place.neighbour[0], serverPort, place.random.below(400)),
  },
  {
    name: 'curl to a shared port',
    weight: 3,
    program: place => curlTo(either(place, place.neighbour), sharedPort, 0),
  },
  { name: 'ssh to a neighbour', weight: 1, program: place => ssh(place, either(place, place.neighbour)) },
  { name: 'ssh', weight: 1, program: place => ssh(place, either(place, place.annex)) },
  {
    name: 'mail',
    weight: 1,
    program: place => ({
      command: find('msmtp'),
      args: ['--host', either(place, place.annex), '--port', '25', '--from', 'a@lab.example', 'b@lab.example'],
      input: 'subject: lab\n\nhello\n',
    }),
  },
]

/** One page after the other from one server, as programs with a single thread do. */
const nodePages = (place: Place, count: number): Program => {
  const script = `
const [host, ms, count] = process.argv.slice(1)
const ask = left => left > 0 && require('http').get({ host, path: '/ms=' + ms + '/', agent: false }, answer => {
  answer.resume().on('end', () => ask(left - 1))
}).on('error', () => {})
ask(Number(count))
`
  return { command: process.execPath, args: ['-e', script, address(place), String(moment(place)), String(count)] }
}

const nodeFromPort = `
const [host, localPort] = process.argv.slice(1)
const s = require('net').connect({ host, port: 80, localPort: Number(localPort) }, () => s.write('GET /ms=200/ HTTP/1.0\\r\\n\\r\\n'))
s.on('error', () => {}).resume()
`

function curlTo(ip: string, port: number, ms: number): Program {
  const url = `http://${ip.includes(':') ? `[${ip}]` : ip}:${port}/ms=${ms}/`
  return { command: find('curl'), args: ['-sS', '-m', '10', '-o', '/dev/null', url] }
}

/** Key, no questions, and a command that takes a moment. */
const ssh = ({ folder, random }: Place, ip: string): Program => ({
  command: find('ssh'),
  args: [
    ...['-F', '/dev/null', '-i', `${folder}/ssh-key`, '-p', String(sshPort), '-o', 'StrictHostKeyChecking=no'],
    ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR', `root@${ip}`],
    `sleep ${(random.below(15) / 10).toFixed(1)}`,
  ],
})
