import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { SocketEvent } from '#schemas'
import { linuxMechanisms, openLinuxEvents } from './linux-events.ts'

const skip = (() => {
  // Mounts tracefs, which a process without rights cannot.
  openLinuxEvents(['tracepoint']).source?.close()
  const { source, refusals } = openLinuxEvents()
  source?.close()
  return source?.mechanism === linuxMechanisms[0] ? false : `needs all rights: ${refusals.join()}`
})()

/** What a process without these capabilities opens, and why nothing better. */
function openWithout(...capabilities: string[]): { mechanism: string | null; refusals: string[] } {
  const module = new URL('linux-events.ts', import.meta.url).href
  const script = `const { source, refusals } = (await import('${module}')).openLinuxEvents();
    console.log(JSON.stringify({ mechanism: source?.mechanism ?? null, refusals })); source?.close()`
  const dropped = capabilities.map(name => `-${name}`).join()
  const { stdout, stderr } = spawnSync(
    'setpriv',
    [`--bounding-set=${dropped}`, `--inh-caps=${dropped}`, process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  )
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout)
}

test('the best mechanism is the one that the rights allow; why nothing better is told', { skip }, () => {
  assert.deepEqual(openWithout('sys_admin'), { mechanism: 'ebpf', refusals: [] })

  // At 3 and more, which Debian and Ubuntu have added, nobody but CAP_SYS_ADMIN has perf events.
  const isForbidden = Number(readFileSync('/proc/sys/kernel/perf_event_paranoid', 'utf8')) >= 3
  const traced = openWithout('sys_admin', 'bpf')
  assert.equal(traced.mechanism, isForbidden ? null : 'tracepoint')
  assert.match(traced.refusals[0]!, /^ebpf: cannot make a map for programs in the kernel: Operation not permitted$/)

  const none = openWithout('sys_admin', 'bpf', 'perfmon')
  assert.equal(none.mechanism, null)
  assert.match(none.refusals.join('\n'), /^ebpf: .*\ntracepoint: cannot .*$/)
})

/** What eBPF tells while a Python script runs, of the ports that it printed. */
function eventsOf(script: string): { events: SocketEvent[]; printed: number[]; pid: number } {
  const { source, refusals } = openLinuxEvents(['ebpf'])
  assert.deepEqual(refusals, [])
  try {
    source!.read()
    const { stdout, stderr, pid } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
    assert.equal(stderr, '')
    const printed = stdout.trim().split(/\s+/).map(Number)
    const ofScript = ({ local_port, remote_port }: SocketEvent) =>
      printed.includes(local_port ?? 0) || printed.includes(remote_port ?? 0)
    return { events: source!.read().events.filter(ofScript), printed, pid }
  } finally {
    source!.close()
  }
}

test('eBPF: a conversation of datagrams is told once a second, another remote end at once', { skip }, () => {
  const { events, printed, pid } = eventsOf(`
from socket import *
receivers = [socket(AF_INET, SOCK_DGRAM) for _ in range(2)]
for one in receivers: one.bind(("127.0.0.1", 0))
sender = socket(AF_INET, SOCK_DGRAM)
sender.bind(("127.0.0.1", 0))
for one in receivers:
  sender.connect(one.getsockname())
  for _ in range(1000):
    sender.send(b"x")
    one.recv(1)
print(sender.getsockname()[1], *[one.getsockname()[1] for one in receivers])
`)
  const [sender, ...receivers] = printed
  const sent = events.filter(({ kind }) => kind === 'send')
  assert.ok(sent.length < 20, `${sent.length} events of 2,000 datagrams`)
  assert.deepEqual(new Set(sent.map(event => event.local_port)), new Set([sender]))
  assert.deepEqual(new Set(sent.map(event => event.remote_port)), new Set(receivers))
  const received = events.filter(({ kind }) => kind === 'receive')
  assert.ok(received.length < 20, `${received.length} events of 2,000 datagrams`)
  assert.deepEqual(new Set(received.map(event => event.local_port)), new Set(receivers))
  assert.deepEqual(new Set(events.map(event => event.pid)), new Set([pid]))
})

test('eBPF: an accepted connection is that of the process which first uses it, not of who accepted', { skip }, () => {
  const { events, printed, pid } = eventsOf(`
import os
from socket import *
listener = create_server(("127.0.0.1", 0))
client = create_connection(listener.getsockname())
accepted, _ = listener.accept()
worker = os.fork()
if worker == 0:
  accepted.send(b"x")
  os._exit(0)
client.recv(1)
os.waitpid(worker, 0)
print(listener.getsockname()[1], client.getsockname()[1], worker)
`)
  const [listener, client, worker] = printed
  const owners = (kind: string, localPort: number | undefined) =>
    new Set(events.flatMap(event => (event.kind === kind && event.local_port === localPort ? [event.pid] : [])))
  assert.deepEqual(owners('listen', listener), new Set([pid]))
  assert.deepEqual(owners('connect', client), new Set([pid]))
  // At once without an owner, and again with it.
  assert.deepEqual(owners('accept', listener), new Set([0, worker]))
})
