import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host, Poll, SocketEvents, SocketSnapshot } from '#schemas'
import { linuxMechanisms, openLinuxEvents } from '../agent/linux-events.ts'
import { ended, LabNetwork, waitForOutput } from './lab/network.ts'
import { proclabel } from './lab/recording.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')
const skip = canMakeNamespaces ? false : 'needs root and iproute2'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-agent-faults-'))
after(() => rmSync(folder, { recursive: true }))

/** Why kernel events cannot be had here; null where they can. */
function whyNoEvents(): string | null {
  if (skip) return skip
  const { source, refusals } = openLinuxEvents()
  source?.close()
  return source === null ? refusals.join() : null
}
const noEvents = whyNoEvents()

const recordArgs = (out: string, ...more: string[]) => [proclabel, 'record', '--out', out, '--host', 'desk', ...more]

/** The records of a log by topic, in their order. */
function readLog(out: string) {
  const whole = (text: string) => text.slice(0, Math.max(0, text.lastIndexOf('\n')))
  const lines = readdirSync(out).flatMap(name => whole(readFileSync(path.join(out, name), 'utf8')).split('\n'))
  const records = lines.filter(Boolean).map(line => JSON.parse(line) as { topic: string })
  const of = <T>(topic: string) => records.filter(record => record.topic === topic) as unknown as T[]
  return {
    hosts: of<Host>('hosts'),
    polls: of<SocketSnapshot>('socket-snapshots').flatMap(({ polls }): Poll[] => polls),
    events: of<SocketEvents>('socket-events'),
  }
}

async function stopRecording(record: ChildProcess): Promise<string> {
  const outcome = ended(record)
  record.kill('SIGINT')
  const { status, errors } = await outcome
  assert.equal(status, 0, errors)
  return errors
}

/** A process of its own that connects so often, one after the other, and ends. */
async function connectFromChild(port: number, count: number): Promise<number> {
  const script = `import socket\nfor i in range(${count}): socket.create_connection(("127.0.0.1", ${port})).close()`
  const child = spawn('python3', ['-c', script], { stdio: ['ignore', 'ignore', 'inherit'] })
  const [status] = await once(child, 'exit')
  assert.equal(status, 0)
  return child.pid!
}

async function listen(): Promise<{ server: net.Server; port: number }> {
  const server = net
    .createServer(socket =>
      socket
        .on('error', () => {})
        .resume()
        .end(),
    )
    .listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as net.AddressInfo).port }
}

for (const mechanism of linuxMechanisms) {
  const options = { skip: noEvents ?? false }
  test(
    `${mechanism}: a buffer that is too small loses events, says so, and gives no socket to another process`,
    options,
    async () => {
      const { source } = openLinuxEvents([mechanism], { bufferBytes: 4096 })
      const { server, port } = await listen()
      try {
        source!.read()
        let lost = 0
        let told = 0
        const look = (pids: readonly number[]) => {
          const reading = source!.read()
          lost += reading.lost
          for (const [i, event] of reading.events.entries()) {
            if (event.kind !== 'connect' || event.remote_port !== port) continue
            told++
            const owner = reading.processes[i]
            assert.ok(!owner || pids.includes(owner.pid), `${JSON.stringify(event)} is of ${pids}`)
          }
        }
        const many = await connectFromChild(port, 500)
        look([many])
        assert.ok(told < 500)
        assert.ok(lost > 0, 'told at once, not with the next event')
      } finally {
        source!.close()
        server.close()
      }
    },
  )
}

test('an agent that was suspended for 10 s tells of the gap, polls on, and events tell what it missed', {
  skip: noEvents ?? false,
}, async () => {
  const out = path.join(folder, 'suspended')
  const record = spawn(process.execPath, recordArgs(out), { stdio: ['ignore', 'ignore', 'pipe'] })
  const { server, port } = await listen()
  try {
    await waitForOutput(record, 'recording')
    await sleep(1000)
    record.kill('SIGSTOP')
    await sleep(5000)
    const pid = await connectFromChild(port, 1)
    await sleep(5000)
    record.kill('SIGCONT')
    await sleep(2500)
    const errors = await stopRecording(record)
    const { polls, events } = readLog(out)
    const gapsUs = polls.slice(1).map((poll, i) => poll.monotonic_us - polls[i]!.monotonic_us)
    assert.ok(gapsUs.every(us => us > 0))
    assert.ok(Math.max(...gapsUs) > 9_900_000, 'the gap shows in the times of the polls')
    assert.deepEqual(
      polls.map(({ poll_seq }) => poll_seq),
      polls.map((_, i) => i),
    )
    // Not one poll of those that were due meanwhile is made up for.
    assert.ok(Number(/(\d+) polls missed/.exec(errors)?.[1]) >= 190, errors)
    const lost = events.reduce((sum, message) => sum + message.lost, 0)
    const connects = events.flatMap(message => message.events).filter(event => event.remote_port === port)
    const owner = connects.find(({ kind }) => kind === 'connect')
    if (lost === 0) assert.equal(owner?.pid, pid)
    else assert.ok(owner === undefined || owner.pid === pid || owner.pid === 0)
  } finally {
    record.kill('SIGKILL')
    server.close()
  }
})

test('without privileges it polls its own, and says what it cannot see and why', { skip }, async () => {
  const out = path.join(folder, 'unprivileged')
  const noCapabilities = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs']
  const { status, stderr } = spawnSync(
    'setpriv',
    [...noCapabilities, process.execPath, ...recordArgs(out, '--duration', '2')],
    { encoding: 'utf8', timeout: 60_000 },
  )
  assert.equal(status, 0, stderr)
  assert.match(stderr, /^only the sockets of your own processes get an owner; run as root/m)
  assert.match(stderr, /^no kernel events by tracepoint: cannot .*$/m)
  const { polls, events, hosts } = readLog(out)
  assert.ok(polls.length > 1)
  assert.deepEqual(events, [])
  assert.equal(hosts[0]?.poll_period_us, 50_000)
})

test('a disk that cannot be written ends it at once, with a sentence that names it', { skip }, () => {
  const place = path.join(folder, 'read-only')
  const script = `mkdir ${place} && mount -t tmpfs -o ro none ${place} && exec "$@"`
  const run = (out: string) =>
    spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', process.execPath, ...recordArgs(out)], {
      encoding: 'utf8',
      timeout: 60_000,
    })
  const { status, stderr } = run(path.join(place, 'log'))
  assert.equal(status, 2, stderr)
  assert.match(stderr, /^proclabel: cannot make the folder .*read-only\/log: /m)
  rmSync(place, { recursive: true })
  const whole = run(place)
  assert.equal(whole.status, 5, whole.stderr)
  assert.match(whole.stderr, /^proclabel: cannot write .*read-only\/desk-.*: EROFS: read-only file system/m)
})

test('an agent that takes more memory than it may forgets what it can, then ends to be started again', { skip }, () => {
  const args = ['agent', '--brokers', '127.0.0.1:9', '--spool', path.join(folder, 'spool'), '--max-memory', '20']
  const { status, stderr } = spawnSync(process.execPath, [proclabel, ...args], { encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 5, stderr)
  assert.match(
    stderr,
    /the agent takes \d+ MiB, more than --max-memory 20, also after it forgot what it could: it ends/,
  )
})

test('addresses that come and go while it runs are told, with their times', { skip }, async () => {
  const network = new LabNetwork(`addresses-${process.pid}`)
  const out = path.join(folder, 'addresses')
  const inside = (...args: string[]) =>
    execFileSync('ip', ['-n', `addresses-${process.pid}-host`, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const record = network.start('host', process.execPath, recordArgs(out), { stdio: ['ignore', 'ignore', 'pipe'] })
  const untilTold = async (isTold: (host: Host) => boolean) => {
    for (let i = 0; i < 200; i++) {
      if (existsSync(out) && readLog(out).hosts.some(isTold)) return
      await sleep(100)
    }
    assert.fail('not told within 20 s')
  }
  const span = (host: Host, ip: string) => host.addresses.find(address => address.ip === ip)
  try {
    await waitForOutput(record, 'recording')
    await untilTold(host => span(host, '192.0.2.10') !== undefined)
    // A tunnel comes up, and DHCP gives another address.
    inside('link', 'add', 'tun0', 'type', 'veth', 'peer', 'name', 'tun1')
    inside('address', 'add', '10.8.0.2/24', 'dev', 'tun0')
    inside('link', 'set', 'tun0', 'up')
    inside('link', 'set', 'tun1', 'up')
    inside('address', 'delete', '192.0.2.10/24', 'dev', 'eth0')
    inside('address', 'add', '192.0.2.77/24', 'dev', 'eth0')
    await untilTold(host => span(host, '10.8.0.2') !== undefined && span(host, '192.0.2.10')?.until_us != null)
    inside('link', 'delete', 'tun0')
    await untilTold(host => span(host, '10.8.0.2')?.until_us != null)
    await stopRecording(record)
    const last = readLog(out).hosts.at(-1)!
    const tunnel = span(last, '10.8.0.2')!
    assert.ok(tunnel.since_us! < tunnel.until_us!)
    assert.equal(span(last, '192.0.2.10')!.since_us, null)
    assert.ok(span(last, '192.0.2.77')!.since_us! > 0)
  } finally {
    await network.close()
  }
})
