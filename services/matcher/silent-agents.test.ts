import assert from 'node:assert/strict'
import test from 'node:test'
import { SilentAgents } from './silent-agents.ts'

const minute = 60_000
const record = (topic: string, key: string, appendMs: number) => ({
  ...{ topic, key, appendMs, partition: 0, offset: 0, value: null },
})

test('an agent is silent when the capture speaks of its host and it has not for over a minute', () => {
  const agents = new SilentAgents()
  agents.hear([record('socket-snapshots', 'a', 0), record('packets', 'a', 0), record('socket-events', 'b', 0)])
  assert.equal(agents.count(0), 0)
  agents.hear([record('packets', 'a', 1.5 * minute), record('packets', 'b', 1.5 * minute)])
  agents.hear([record('socket-events', 'b', 1.4 * minute)])
  assert.equal(agents.count(1.5 * minute), 1)
  agents.hear([record('hosts', 'a', 1.6 * minute)])
  assert.equal(agents.count(1.6 * minute), 0)
})

test('a host that the capture does not speak of any more, and one that is new, are not counted', () => {
  const agents = new SilentAgents()
  agents.hear([record('socket-snapshots', 'a', 0), record('packets', 'a', 2 * minute)])
  assert.equal(agents.count(2 * minute), 1)
  assert.equal(agents.count(4 * minute), 0)
  agents.hear([record('packets', 'new', 4 * minute)])
  assert.equal(agents.count(4 * minute), 0)
})
