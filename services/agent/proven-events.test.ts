import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import type { SocketEvent } from '#schemas'
import type { EventSource } from './event-source.ts'
import { openLinuxEvents } from './linux-events.ts'
import { provenEvents } from './proven-events.ts'

const { source, refusals } =
  process.platform === 'linux' ? openLinuxEvents() : { source: null, refusals: ['needs Linux'] }
source?.close()
const skip = source === null ? refusals.join() : false

/** The kernel's own events, as a source tells them that gets something wrong. */
function lying(change: (event: SocketEvent) => SocketEvent | null): { opened: EventSource; isClosed: () => boolean } {
  const real = openLinuxEvents().source!
  let isClosed = false
  const opened: EventSource = {
    mechanism: real.mechanism,
    complete: real.complete,
    read: () => {
      const reading = real.read()
      return { ...reading, events: reading.events.map(change).filter(event => event !== null) }
    },
    close: () => {
      isClosed = true
      real.close()
    },
  }
  return { opened, isClosed: () => isClosed }
}

test('events that tell rightly of a connection of this process are believed', { skip }, async () => {
  const { source, refusals } = await provenEvents(openLinuxEvents())
  assert.deepEqual([source?.mechanism, refusals], ['ebpf', []])
  source!.close()
})

for (const [what, change, reason] of [
  ['by another pid', event => ({ ...event, pid: event.pid + 1 }), /told pid \d+ of a connection of this process/],
  [
    'by its other end',
    event => ({ ...event, local_port: event.remote_port, remote_port: event.local_port }),
    /by the wrong end/,
  ],
  ['not at all', () => null, /did not tell of a connection of this process within 1 s/],
] satisfies [string, (event: SocketEvent) => SocketEvent | null, RegExp][])
  test(`events that tell it ${what} are not, and polls go on alone`, { skip }, async () => {
    const { opened, isClosed } = lying(change)
    const { source, refusals } = await provenEvents({ source: opened, refusals: ['best: no'] }, 1000)
    assert.equal(source, null)
    assert.equal(refusals[0], 'best: no')
    assert.match(refusals[1]!, /^ebpf: it /)
    assert.match(refusals[1]!, reason)
    assert.ok(isClosed())
  })

test('what was refused stays refused', async () => {
  assert.deepEqual(await provenEvents({ source: null, refusals: ['etw: no'] }), { source: null, refusals: ['etw: no'] })
})
