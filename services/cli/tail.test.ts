import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sessionOf } from '#shared/session-fixture.ts'
import { matchesFilter, type SessionFilter } from './tail.ts'

const labeled = sessionOf({ host_id: 'h1', state: 'closed', stage: 'A' })
const unknown = sessionOf({ host_id: null, state: 'open', label: null, stage: null, unknown_cause: 'too-short' })

const cases: [SessionFilter, boolean, boolean][] = [
  [{}, true, true],
  [{ host: 'h1' }, true, false],
  [{ process: 'curl' }, true, false],
  [{ process: 'wget' }, false, false],
  [{ stage: 'A' }, true, false],
  [{ stage: 'A2' }, false, false],
  [{ state: 'open' }, false, true],
  [{ unknown: true }, false, true],
  [{ unknown: 'too-short' }, false, true],
  [{ unknown: 'nat' }, false, false],
  [{ host: 'h1', state: 'open' }, false, false],
]
for (const [filter, isLabeled, isUnknown] of cases) {
  test(`filter ${JSON.stringify(filter)}`, () => {
    assert.deepEqual([matchesFilter(labeled, filter), matchesFilter(unknown, filter)], [isLabeled, isUnknown])
  })
}
