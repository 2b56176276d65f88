import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConstants } from '#core/constants.ts'
import { codecs, type LabeledSession } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { createRandom } from '#shared/mutate.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import type { HostWrite } from '#shared/store/store.ts'
import { Matcher, withinProcess } from '../matcher/matcher.ts'
import { recordedInputs } from './recording-fixture.ts'

const { inputs } = await recordedInputs()

/** Ends a matcher at one of its steps to the outside, before or after the step was done. */
class Fate {
  #stepsLeft = Number.POSITIVE_INFINITY
  #dieAfterStep = false

  set(steps: number, afterStep: boolean): void {
    this.#stepsLeft = steps
    this.#dieAfterStep = afterStep
  }

  async step<T>(act: () => Promise<T>): Promise<T> {
    const isLast = this.#stepsLeft-- <= 0
    if (isLast && !this.#dieAfterStep) throw new Error('killed')
    const result = await act()
    if (isLast) throw new Error('killed')
    return result
  }
}

class MortalStore extends MemoryStore {
  readonly fate = new Fate()
  override save(hostId: string, write: HostWrite) {
    return this.fate.step(() => super.save(hostId, write))
  }
  override acknowledge(hostId: string, ids: readonly string[]) {
    return this.fate.step(() => super.acknowledge(hostId, ids))
  }
}

class MortalBus extends InProcessBus {
  readonly fate: Fate
  constructor(fate: Fate) {
    super()
    this.fate = fate
  }
  override publish(topic: string, records: readonly BusRecord[]) {
    const publish = () => super.publish(topic, records)
    return topic === 'labeled-sessions' ? this.fate.step(publish) : publish()
  }
}

/** All that was published on the recording by matchers that are killed at random steps, each followed by another. */
async function publishedUnder(kills: number, seed: number): Promise<LabeledSession[]> {
  const random = createRandom(seed)
  const store = new MortalStore()
  const bus = new MortalBus(store.fate)
  const stop = new AbortController()
  const published: LabeledSession[] = []
  const reading = (async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'test', stop.signal)) {
      for (const { value } of batch.records) published.push(codecs['labeled-sessions'].decode(value!))
      await batch.commit()
    }
  })()
  const matching = (async () => {
    for (let killed = 0; ; killed++) {
      const isLast = killed === kills
      store.fate.set(isLast ? Number.POSITIVE_INFINITY : random(60), random(2) === 1)
      const life = new AbortController()
      const end = () => life.abort()
      stop.signal.addEventListener('abort', end)
      const options = { bus, store, constants: defaultConstants, provisional: true, ...withinProcess, persistent: true }
      const matcher = new Matcher(options)
      try {
        return await matcher.run(life.signal)
      } catch (error) {
        assert.equal((error as Error).message, 'killed')
        life.abort()
      }
    }
  })()
  for (const { topic, key, value } of inputs) await bus.publish(topic, [{ key, value }])
  await bus.drained()
  stop.abort()
  await Promise.all([reading, matching])
  return published
}

const idOf = ({ session_id, revision }: LabeledSession) => `${session_id}/${revision}`

test('matchers that are killed at any step publish together what one publishes that lives', async () => {
  const expected = await publishedUnder(0, 0)
  assert.ok(expected.length > 50, `${expected.length} records`)
  for (let seed = 1; seed <= 10; seed++) {
    const published = await publishedUnder(30, seed)
    const byId = new Map(published.map(record => [idOf(record), record]))
    assert.deepEqual([...byId.keys()].sort(), expected.map(idOf).sort(), `seed ${seed}`)
    for (const record of expected) assert.deepEqual(byId.get(idOf(record)), record, `seed ${seed}`)
  }
})
