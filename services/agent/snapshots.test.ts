import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { codecs, type Process, type Socket, type SocketSnapshot } from '#schemas'
import { SnapshotBuilder } from './snapshots.ts'
import type { SocketReading } from './socket-source.ts'

const PERIOD_US = 50_000

function createSocket(id: number, changes: Partial<Socket> = {}): Socket {
  return {
    id,
    proto: 'tcp',
    local_ip: '192.0.2.1',
    local_port: 40_000 + id,
    remote_ip: '198.51.100.1',
    remote_port: 443,
    state: 'established',
    v6_only: false,
    owners: [{ pid: 100 + (id % 3), start_us: 1000 }],
    created_us: null,
    ...changes,
  }
}

function createProcess(pid: number, name = `program-${pid}`): Process {
  return {
    pid,
    start_us: 1000,
    name,
    path: `/usr/bin/${name}`,
    parent_pid: 1,
    services: [],
    container_id: null,
    pod: null,
    parent_name: null,
    container_image: null,
    user: null,
  }
}

function createReading(number: number, opened: Socket[], closed: number[] = []): SocketReading {
  const pids = new Set(opened.flatMap(socket => socket.owners.map(owner => owner.pid)))
  return {
    timeUs: 1_700_000_000_000_000 + number * PERIOD_US,
    monotonicUs: number * PERIOD_US,
    durationUs: 300,
    opened,
    closed,
    processes: [...pids].map(pid => createProcess(pid)),
  }
}

/** Rebuilds every poll as a reader does, and checks that every owner has been told by then. */
function rebuild(messages: SocketSnapshot[]): Socket[][] {
  const table = new Map<number, Socket>()
  const known = new Set<string>()
  const polls: Socket[][] = []
  for (const message of messages) {
    codecs['socket-snapshots'].encode(message)
    for (const { pid, start_us } of message.processes) known.add(`${pid} ${start_us}`)
    for (const poll of message.polls) {
      assert.equal(poll.poll_seq, polls.length)
      if (poll.kind === 'keyframe') table.clear()
      else for (const id of poll.closed) assert.ok(table.delete(id))
      for (const socket of poll.opened) table.set(socket.id, socket)
      for (const socket of table.values())
        for (const { pid, start_us } of socket.owners) assert.ok(known.has(`${pid} ${start_us}`))
      polls.push([...table.values()].sort((a, b) => a.id - b.id))
    }
  }
  return polls
}

test('every poll can be rebuilt, from the first message and from any keyframe', () => {
  const step = fc.record({
    open: fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 5 }),
    close: fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 5 }),
    take: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, every) => {
      const builder = new SnapshotBuilder('host', 'run', every)
      const table = new Map<number, Socket>()
      const truth: Socket[][] = []
      const messages: SocketSnapshot[] = []
      for (const [number, { open, close, take }] of steps.entries()) {
        const closed = [...new Set(close)].filter(id => table.delete(id))
        const opened = [...new Set(open)]
          .filter(id => !closed.includes(id))
          .map(id => {
            const state = table.has(id) ? 'close_wait' : 'established'
            return createSocket(id, { state, owners: [{ pid: 100 + ((id + number) % 4), start_us: 1000 }] })
          })
        for (const socket of opened) table.set(socket.id, socket)
        builder.add(createReading(number, opened, closed))
        truth.push([...table.values()].sort((a, b) => a.id - b.id))
        if (take || number === steps.length - 1) messages.push(builder.take())
      }
      assert.deepEqual(rebuild(messages), truth)
      assert.deepEqual(
        messages.map(message => message.seq),
        messages.map((_, i) => i),
      )
      for (const [i, message] of messages.entries()) {
        assert.equal(message.polls[0]?.kind, i % every === 0 ? 'keyframe' : 'delta')
        if (i % every !== 0) continue
        const first = message.polls[0]!.poll_seq
        const fromHere = messages.slice(i).map(later => ({
          ...later,
          polls: later.polls.map(poll => ({ ...poll, poll_seq: poll.poll_seq - first })),
        }))
        assert.deepEqual(rebuild(fromHere), truth.slice(first))
      }
    }),
  )
})

test('a process is told once between keyframes, and again when its name changes', () => {
  const builder = new SnapshotBuilder('host', 'run', 3)
  const told = (reading: SocketReading) => {
    builder.add(reading)
    return builder.take().processes.map(process => process.name)
  }
  assert.deepEqual(told(createReading(0, [createSocket(0)])), ['program-100'])
  assert.deepEqual(told(createReading(1, [createSocket(3)])), [])
  const afterExec = createReading(2, [createSocket(3)])
  assert.deepEqual(told({ ...afterExec, processes: [createProcess(100, 'other')] }), ['other'])
  assert.deepEqual(told(createReading(3, [])), ['other'], 'a keyframe tells all')
})

test('processes that own nothing any more are forgotten, and told again when they come back', () => {
  const builder = new SnapshotBuilder('host', 'run', 2)
  const told = (number: number, opened: Socket[], closed: number[]) => {
    builder.add(createReading(number, opened, closed))
    return builder.take().processes.length
  }
  assert.equal(told(0, [createSocket(0)], []), 1)
  assert.equal(told(1, [], [0]), 0)
  assert.equal(told(2, [], []), 0)
  assert.equal(told(3, [createSocket(0)], []), 1)
})

test('after a lost message the next one begins with a keyframe', () => {
  const builder = new SnapshotBuilder('host', 'run', 100)
  const kinds: string[] = []
  for (let number = 0; number < 3; number++) {
    builder.add(createReading(number, []))
    kinds.push(builder.take().polls[0]!.kind)
    if (number === 1) builder.restart()
  }
  assert.deepEqual(kinds, ['keyframe', 'delta', 'keyframe'])
})
