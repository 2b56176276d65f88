import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LabeledSession } from '#schemas'
import { sessionOf } from '#shared/session-fixture.ts'
import { calibration, lengthClass, Scorer, tally, verdictOf, wilson } from './score.ts'
import { scoreText, wrongText } from './score-text.ts'
import { type TruthLine, TruthTable, toTruthLine } from './truth-line.ts'

/** The truth of a session: `name:pid` of each owner, or a name alone. */
function truthOf(session: LabeledSession, ...owners: string[]): TruthLine {
  const { host_id, proto, local_ip, local_port, remote_ip, remote_port, first_us, last_us } = session
  return {
    ...{ host_id: host_id!, proto, local_ip, local_port, remote_ip, remote_port, first_us, last_us },
    owners: owners.map(owner => {
      const [process, pid] = owner.split(':')
      return { process: process!, pid: pid === undefined ? null : Number(pid) }
    }),
  }
}

const labelOf = (process: string, pid: number | null) => ({ ...sessionOf().label!, process, pid })

test('a label is right when program and process are; a name alone is enough where that is all there is', () => {
  const session = sessionOf({ label: labelOf('curl', 7) })
  const verdict = (...owners: string[]) => verdictOf(session, truthOf(session, ...owners))
  assert.equal(verdict('curl:7'), 'right')
  assert.equal(verdict('CURL:7'), 'right')
  assert.equal(verdict('curl:8'), 'wrong')
  assert.equal(verdict('wget:7'), 'wrong')
  assert.equal(verdict('curl'), 'right')
  assert.equal(verdict('nginx:1', 'curl:7'), 'right', 'one of several owners')
  const inferred = sessionOf({ label: labelOf('curl', null), stage: 'B' })
  assert.equal(verdictOf(inferred, truthOf(inferred, 'curl:9')), 'right')
  assert.equal(verdictOf(sessionOf({ label: null }), truthOf(session, 'curl:7')), 'unlabeled')
})

test('truth is that of the same ends and the greatest overlap, within the slack of the clocks', () => {
  const table = new TruthTable(1_000_000)
  const session = sessionOf({ first_us: 10_000_000, last_us: 12_000_000 })
  const at = (fromMs: number, toMs: number, owner: string) =>
    table.add({ ...truthOf(session, owner), first_us: fromMs * 1000, last_us: toMs * 1000 })
  at(2000, 8900, 'long before')
  assert.equal(table.find(session), null)
  at(2000, 9100, 'just before')
  assert.equal(table.find(session)!.owners[0]!.process, 'just before')
  at(11_500, 20_000, 'half of it')
  at(9_900, 11_900, 'most of it')
  assert.equal(table.find(session)!.owners[0]!.process, 'most of it')
  assert.equal(table.find({ ...session, local_port: 1 }), null)
  assert.equal(table.find({ ...session, host_id: 'h2' }), null)
})

test('live is what a session was first told as closed, final its last revision; the rest is counted apart', () => {
  const table = new TruthTable(0)
  const session = sessionOf({ label: null, stage: null, unknown_cause: 'too-short' })
  table.add(truthOf(session, 'curl:7'))
  table.add({ ...truthOf(session, 'curl:7'), local_port: 2 })
  const scorer = new Scorer(table)
  scorer.add(sessionOf({ session_id: 'other', local_port: 1 }))
  const labeled = { label: labelOf('curl', 7), stage: 'A', unknown_cause: null } as const
  scorer.add({ ...session, ...labeled, revision: 3 })
  scorer.add({ ...session, revision: 1 })
  scorer.add({ ...session, ...labeled, state: 'open' })
  scorer.add({ ...session, ...labeled, label: labelOf('wget', 7), revision: 2 })
  const score = scorer.score()
  assert.deepEqual(tally(score.live), { sessions: 1, labeled: 0, right: 0 })
  assert.deepEqual(tally(score.final), { sessions: 1, labeled: 1, right: 1 })
  assert.deepEqual([score.untold, score.unseen], [1, 1])
})

test('the interval of a share: Wilson, 95 %', () => {
  const rounded = (part: number, whole: number) => wilson(part, whole).map(bound => Number(bound.toFixed(4)))
  // Table I of R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3.
  assert.deepEqual(rounded(81, 263), [0.2553, 0.3662])
  assert.deepEqual(rounded(15, 148), [0.0624, 0.1605])
  assert.deepEqual(rounded(0, 20), [0, 0.1611])
  assert.deepEqual(rounded(1, 29), [0.0061, 0.1718])
  assert.deepEqual(wilson(0, 0), [0, 1])
})

test('confidence is held against how often it was right', () => {
  const judged = [0.995, 0.992, 0.97, 0.3].map((confidence, i) => {
    const session = sessionOf({ stage: 'C', confidence, label: labelOf('curl', null) })
    return { session, truth: truthOf(session, 'curl'), verdict: i === 1 ? 'wrong' : 'right' } as const
  })
  const silent = { ...judged[0]!, session: sessionOf() }
  assert.deepEqual(calibration([...judged, silent]), [
    { from: 0.99, labels: 2, stated: (0.995 + 0.992) / 2, right: 1 },
    { from: 0.95, labels: 1, stated: 0.97, right: 1 },
    { from: 0, labels: 1, stated: 0.3, right: 1 },
  ])
})

test('lengths fall into classes at their lower bounds', () => {
  const classOf = (ms: number) => lengthClass(sessionOf({ first_us: 0, last_us: ms * 1000 }))
  assert.deepEqual([0, 4.999, 5, 50, 100, 10_000].map(classOf), [
    'under 5 ms',
    'under 5 ms',
    '5 ms to 50 ms',
    '50 ms to 100 ms',
    '100 ms to 1 s',
    '10 s and more',
  ])
})

test('the text tells shares, causes and each wrong label', () => {
  const table = new TruthTable(0)
  const scorer = new Scorer(table)
  for (const [i, owner] of ['curl:7', 'curl:7', 'curl:7', 'wget:9'].entries()) {
    const session = sessionOf({ session_id: `s${i}`, local_port: 50_000 + i })
    table.add(truthOf(session, owner))
    scorer.add(i === 0 ? { ...session, label: null, stage: null, unknown_cause: 'agent-gap' } : session)
  }
  const score = scorer.score()
  const text = scoreText(score)
  assert.match(text, /by their last revision +4 +3 +2 +75\.00 % \(30\.06 to 95\.44\) +66\.67 % \(20\.77 to 93\.85\)/)
  assert.match(text, /agent-gap +1/)
  const wrong = score.final.find(({ verdict }) => verdict === 'wrong')!
  assert.match(wrongText(wrong), /h1 tcp 10\.0\.0\.1:50003 192\.0\.2\.1:443: A said curl:7, truly wget:9; one owner \{/)
})

test('a line of truth has all its members, or is none', () => {
  const line = truthOf(sessionOf(), 'curl:7')
  assert.deepEqual(toTruthLine({ ...line }), line)
  for (const name of Object.keys(line)) assert.equal(toTruthLine({ ...line, [name]: undefined }), null, name)
  assert.equal(toTruthLine({ ...line, owners: [] }), null)
  assert.equal(toTruthLine({ ...line, owners: [{ process: 'curl' }] }), null)
  assert.equal(toTruthLine(null), null)
})
