import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LabeledSession } from '#schemas'
import { Pipeline } from './pipeline.ts'
import { labeledInProcess, resolved, type Sessions, silenced } from './recorded-hosts.ts'
import { recordedHour, type TimedInput } from './replay-hour.ts'

/** The input, how much faster than it was recorded it is published, and how many matchers replay it. */
const {
  PROCLABEL_REPLAY_HOSTS = '6',
  PROCLABEL_REPLAY_ROUNDS = '12',
  PROCLABEL_REPLAY_SPEED = '200',
  PROCLABEL_REPLAY_MATCHERS = '1,3,7',
} = process.env
const speed = Number(PROCLABEL_REPLAY_SPEED)
const matcherCounts = PROCLABEL_REPLAY_MATCHERS.split(',').map(Number)
const liveMatchers = 2
/** Of the sessions that stage A did not label, those that may be told differently: what is learned depends on the order of the input. */
const otherShare = 0.001
const tickMs = 5
const quietMs = 60_000
const doneMs = 5_000
/** The resolver looks every 30 s, by the clock, at what still waits. */
const resolvedMs = 35_000
/** Its agent says nothing after its first words: what is known of it is what other hosts teach, by the resolver. */
const silentHosts = new Set(['host-1'])

/** Publishes each input when its time has come. */
async function publishLive(pipeline: Pipeline, inputs: readonly TimedInput[]): Promise<void> {
  const startMs = performance.now()
  const firstUs = inputs[0]!.timeUs
  for (let at = 0; at < inputs.length; await sleep(tickMs)) {
    const nowUs = firstUs + (performance.now() - startMs) * 1000 * speed
    const next = inputs.findIndex(({ timeUs }, i) => i >= at && timeUs > nowUs)
    const end = next < 0 ? inputs.length : next
    await pipeline.publish(inputs.slice(at, end))
    at = end
  }
}

/** What is the same whenever a session is judged; with the label where stage A gave it. Its evidence tells the offset of that moment. */
function fixedPart(record: LabeledSession): string {
  const { session_id, state, host_id, packets_out, packets_in, bytes_out, bytes_in, first_us, last_us } = record
  const { label, stage } = record
  const counts = [session_id, state, host_id, packets_out, packets_in, bytes_out, bytes_in, first_us, last_us]
  return JSON.stringify([...counts, stage === 'A' ? label : null])
}

const learnedPart = ({ label, stage, unknown_cause }: LabeledSession) => JSON.stringify([label, stage, unknown_cause])

/** What is told otherwise than in the reference: `wrong` must not be, `other` may be, a little. */
function compare(sessions: Sessions, reference: Sessions) {
  const wrong: string[] = []
  const other: string[] = []
  for (const [id, expected] of reference) {
    const record = sessions.get(id)
    if (!record) wrong.push(`missing: ${fixedPart(expected)}`)
    else if (fixedPart(record) !== fixedPart(expected))
      wrong.push(`${fixedPart(record)} instead of ${fixedPart(expected)}`)
    else if (learnedPart(record) !== learnedPart(expected))
      other.push(`${id}: ${learnedPart(record)} instead of ${learnedPart(expected)}`)
  }
  for (const id of sessions.keys()) if (!reference.has(id)) wrong.push(`too many: ${id}`)
  return { wrong, other }
}

/**
 * Waits until the sessions are those of the reference, or nothing comes any more; fails when they are not, but for `allowed`
 * that may be told otherwise. Answers with these. Nothing must come for `calmMs` where it does not yet equal the reference.
 */
async function settle(pipeline: Pipeline, reference: Sessions, allowed: number, calmMs = doneMs): Promise<string[]> {
  let told = -1
  for (let sinceMs = performance.now(); ; await sleep(250)) {
    if (told !== pipeline.told) sinceMs = performance.now()
    told = pipeline.told
    const isLate = performance.now() - sinceMs > quietMs
    if (pipeline.sessions.size < reference.size && !isLate) continue
    const { wrong, other } = compare(pipeline.sessions, reference)
    if (wrong.length === 0 && other.length === 0) return []
    const mayBeDone = wrong.length === 0 && other.length <= allowed
    if (performance.now() - sinceMs < (mayBeDone ? calmMs : quietMs)) continue
    assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} are wrong`)
    assert.ok(other.length <= allowed, `${other.length}, at most ${allowed}: ${other.slice(0, 5).join('; ')}`)
    return other
  }
}

/** Starts so many, and waits until the sessions are those of the reference. */
async function replay(t: TestContext, pipeline: Pipeline, count: number, reference: Sessions): Promise<void> {
  pipeline.takeSessions()
  await pipeline.resetMatchers()
  const startMs = performance.now()
  for (let i = 0; i < count; i++) pipeline.startMatcher()
  const inexact = [...reference.values()].filter(({ stage }) => stage !== 'A').length
  const other = await settle(pipeline, reference, Math.floor(inexact * otherShare))
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  t.diagnostic(
    `${count} matchers: ${reference.size} sessions in ${seconds} s, ${other.length} labels of learned stages differ`,
  )
  for (const line of other) t.diagnostic(line)
  await pipeline.stopMatchers()
}

test('an hour that is replayed at full speed is told as it was told live, by any number of matchers', async t => {
  const hour = await recordedHour({ hosts: Number(PROCLABEL_REPLAY_HOSTS), rounds: Number(PROCLABEL_REPLAY_ROUNDS) })
  const inputs = silenced(hour, silentHosts)
  const embedded = resolved(await labeledInProcess(inputs))
  const pipeline = await Pipeline.start(t)
  const resolver = pipeline.startResolver()
  for (let i = 0; i < liveMatchers; i++) pipeline.startMatcher()
  await publishLive(pipeline, inputs)
  // An hour in seconds: what is learned by when is not as it is in one process.
  const other = await settle(pipeline, embedded, Number.POSITIVE_INFINITY, resolvedMs)
  // What it told is on its topic, and is replayed with the rest.
  resolver.kill('SIGTERM')
  await once(resolver, 'exit')
  await pipeline.stopMatchers()
  const live = pipeline.takeSessions()
  const stages = Map.groupBy(live.values(), ({ stage, unknown_cause }) => stage ?? unknown_cause)
  const bySilent = [...live.values()].filter(({ host_id, stage }) => silentHosts.has(host_id ?? '') && stage === 'N')
  assert.ok(bySilent.length > 0, 'the resolver has named no session of the silent host')
  t.diagnostic(Array.from(stages, ([stage, { length }]) => `${stage} ${length}`).join(', '))
  t.diagnostic(`live: ${other.length} labels of learned stages differ from those of one process`)
  for (const count of matcherCounts) await replay(t, pipeline, count, live)
})
