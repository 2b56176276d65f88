/**
 * Makes the bundled sample again: a minute of varied programs in network namespaces, recorded by our own `record` and, from
 * the other end of the wire, by tcpdump. Needs root, and the programs that it starts.
 *
 * `node services/embedded/sample/make.ts`
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { ended, hostAddresses, LabNetwork, waitForOutput, worldAddress } from '../../e2e/lab/network.ts'
import { brief, find, fromPort, heldTcp, heldUdp, hostServers, type Program } from '../../e2e/lab/programs.ts'
import { startRecording, startWorld } from '../../e2e/lab/recording.ts'

const network = new LabNetwork(`proclabel-sample-${process.pid}`)
const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-sample-'))
const node = '/usr/bin/node'

async function run({ command, args, input }: Program): Promise<void> {
  const own = command === process.execPath ? node : command // an ordinary path
  const child = network.start('host', own, args, { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin!.on('error', () => {}).end(input ?? '')
  await ended(child)
}

const download = (name: string, seconds: number, bytes = 3000): Program => ({
  command: find('curl'),
  args: ['-sk', '-o', '/dev/null', `https://${name}/bytes=${bytes}/ms=${seconds * 1000}/`],
})

/** Fetches one page after the other over connections of their own, as a poller of many sites does. */
const poller = (names: readonly string[], pauseMs: number): Program => ({
  command: node,
  args: [
    '-e',
    `const [pause, ...names] = process.argv.slice(1)
    const get = name => new Promise(done => require('https').get('https://' + name + '/ms=250/',
      { rejectUnauthorized: false, agent: false }, r => r.resume().on('end', done)).on('error', done))
    ;(async () => { for (const name of names) { await get(name); await new Promise(r => setTimeout(r, pause)) } })()`,
    String(pauseMs),
    ...names,
  ],
})

/** Twelve requests to one server, each a connection of some 300 ms. */
const feed: Program = {
  command: find('python3'),
  args: [
    '-c',
    `
import ssl, time, urllib.request
context = ssl._create_unverified_context()
for _ in range(12):
    urllib.request.urlopen('https://feed.example.net/ms=300/', context=context).read()
    time.sleep(2)
`,
  ],
}

const every = async (ms: number, times: number, program: (i: number) => Program) => {
  for (let i = 0; i < times; i++) {
    await run(program(i))
    await sleep(ms)
  }
}

async function serveAndVisit(kind: string, port: number, family: 4 | 6, visits: number): Promise<void> {
  const { command, args } = hostServers[kind]!(port)
  const server = network.start('host', command === process.execPath ? node : command, args)
  await waitForOutput(server, 'ready')
  const at = family === 4 ? hostAddresses[0] : `[${hostAddresses[1]}]`
  for (let i = 0; i < visits; i++) {
    const visit = network.start('world', 'curl', ['-s', `http://${at}:${port}/ms=${100 + 250 * (i % 4)}/`], {
      stdio: 'ignore',
    })
    await ended(visit)
    await sleep(1500)
  }
  server.kill()
}

/** Its child inherits the connection: from then on both own it. */
const inherited: Program = {
  command: find('bash'),
  args: ['-c', `exec 3<>/dev/tcp/${worldAddress(4, 91)}/80; sleep 2; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; sleep 1`],
}

const sites = ['news', 'mail', 'maps', 'photos', 'music', 'weather'].map(name => `${name}.example.org`)

async function makeTraffic(): Promise<void> {
  await Promise.all([
    serveAndVisit('python, server', 8000, 6, 14),
    serveAndVisit('node, server', 9000, 4, 14),
    run(feed),
    run(inherited),
    every(900, 3, () => poller(sites, 700)),
    every(3500, 8, i => download(`mirror${i % 3}.example.com`, 2, 6000)),
    every(2200, 16, i => brief['brief dig']!(i % 2 === 0 ? '192.0.2.1' : '2001:db8::1', 0)),
    every(7000, 5, i => brief['brief curl']!(worldAddress(4, 20 + i), 0)),
    every(9000, 4, i => brief['refused curl']!(worldAddress(6, 30), i)),
    every(8000, 5, i => heldUdp.dig!(i % 2 === 0 ? '192.0.2.1' : '2001:db8::1', 0)),
    every(6000, 4, i => heldUdp['python, UDP']!(worldAddress(4, 40 + i), 3000)),
    every(7000, 3, i => heldUdp['python, connected UDP']!(worldAddress(6, 44 + i), 2000)),
    every(11_000, 4, i => heldTcp.ssh!(worldAddress(i % 2 === 0 ? 4 : 6, 22), 0)),
    every(10_000, 4, i => heldTcp.git!(worldAddress(4, 60 + i), 900)),
    every(5000, 5, i => heldTcp.wget!(`files${i % 2}.example.net`, 1200)),
    every(9000, 3, i => heldTcp.bash!(worldAddress(4, 70 + i), 1000)),
    every(12_000, 2, i => fromPort.python(worldAddress(4, 80 + i), 2000, 41_000)),
  ])
}

try {
  await startWorld(network, folder)
  const [sockets, capture] = [path.join(folder, 'sockets'), path.join(folder, 'capture.pcap')]
  const begunBefore = run(heldTcp.python!(worldAddress(4, 90), 9000))
  await sleep(1000)
  const recording = await startRecording(network, { sockets, capture, hostId: 'desk' })
  await sleep(1000)
  await Promise.all([makeTraffic(), begunBefore])
  await sleep(1500)
  await recording.stop()
  const [log] = readdirSync(sockets)
  writeFileSync(
    path.join(import.meta.dirname, 'sockets.jsonl.gz'),
    gzipSync(readFileSync(path.join(sockets, log!)), { level: 9 }),
  )
  writeFileSync(path.join(import.meta.dirname, 'capture.pcap.gz'), gzipSync(readFileSync(capture), { level: 9 }))
} finally {
  await network.close()
  rmSync(folder, { recursive: true })
}
