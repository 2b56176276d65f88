import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Stack, startStack } from '../../e2e/stack/stack.ts'
import { textRecord } from './contract.ts'
import { KafkaBus } from './kafka.ts'
import { createTopics, unique, until } from './kafka-fixture.ts'

let stack: Stack
before(async () => {
  stack = await startStack({ kafka: true })
})
after(() => stack.stop())

const broker = () => stack.kafka!.nodes[0]!

/** Publishes numbers, one after the other, again when they are refused, while a reader reads and commits them. */
async function underFault(fault: () => Promise<void>) {
  const topic = unique('t')
  await createTopics(stack.kafka!.brokers, [topic], 1)
  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'faults' })
  const stopped = new AbortController()
  const seen: number[] = []
  const reading = (async () => {
    for await (const batch of bus.subscribe([topic], unique('g'), stopped.signal)) {
      seen.push(...batch.records.map(({ value }) => Number(value)))
      await batch.commit()
    }
  })()
  let next = 0
  let isOver = false
  let refusals = 0
  const publishing = (async () => {
    while (!isOver) {
      try {
        await bus.publish(topic, [textRecord('k', `${next}`)])
        next += 1
      } catch (error) {
        assert.equal((error as { retryable?: boolean }).retryable, true)
        refusals += 1
      }
      await sleep(2)
    }
  })()
  await until('it flows', () => seen.length > 50)
  await fault()
  const before = next
  await until('it flows again', () => next > before + 50 && seen.at(-1)! > before, 90_000)
  isOver = true
  await publishing
  await until('all came', () => seen.at(-1) === next - 1)
  stopped.abort()
  await reading
  await bus.close()
  return { seen, next, refusals }
}

/** Every number came, none before its predecessor; an unacknowledged one may have come again after a refusal. */
function assertComplete({ seen, next, refusals }: { seen: number[]; next: number; refusals: number }): void {
  let expected = 0
  let repeated = 0
  for (const number of seen) {
    if (number === expected) expected += 1
    else if (number < expected) repeated += 1
    else assert.fail(`${number} came where ${expected} was expected`)
  }
  assert.equal(expected, next)
  assert.ok(repeated <= refusals, `${repeated} came twice, ${refusals} were refused`)
}

test('a broker that is killed and comes back: nothing lost, order kept', { timeout: 180_000 }, async () => {
  const result = await underFault(async () => {
    await broker().kill()
    await sleep(2000)
    await broker().start()
  })
  assertComplete(result)
})

test('a broker that freezes for 20 s: nothing lost, order kept', { timeout: 180_000 }, async () => {
  const result = await underFault(async () => {
    broker().signal('SIGSTOP')
    await sleep(20_000)
    broker().signal('SIGCONT')
  })
  assertComplete(result)
})

test('a broker that stays away: publishing is refused, reading fails, both in bounded time', {
  timeout: 180_000,
}, async () => {
  const topic = unique('t')
  await createTopics(stack.kafka!.brokers, [topic], 1)
  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'away', times: { stallMs: 10_000 } })
  await bus.publish(topic, [textRecord('k', '0')])
  const read = async () => {
    for await (const batch of bus.subscribe([topic], unique('g'), new AbortController().signal)) {
      await batch.commit()
      broker().signal('SIGSTOP')
    }
  }
  const from = Date.now()
  await assert.rejects(read(), { code: 'PROCLABEL_BUS', retryable: true })
  assert.ok(Date.now() - from < 45_000)
  broker().signal('SIGCONT')
  await broker().kill()
  const refused = assert.rejects(bus.publish(topic, [textRecord('k', '1')]), { code: 'PROCLABEL_BUS', retryable: true })
  await assert.rejects(bus.publish(topic, [textRecord('k', '2')]), { code: 'PROCLABEL_BUS', retryable: true })
  await refused
  await broker().start()
  await bus.publish(topic, [textRecord('k', '3')])
  await bus.close()
})
