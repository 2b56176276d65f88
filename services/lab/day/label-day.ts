import type { MatchConstants } from '#core/constants.ts'
import { codecs } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { Matcher, withinProcess } from '../../matcher/matcher.ts'
import { type Score, Scorer } from '../score.ts'
import { TruthTable } from '../truth-line.ts'
import type { Day } from './day.ts'

/** Labels a day in this process, live and by post-processing, and holds it against its truth. */
export async function scoreDay(day: Day, constants: MatchConstants): Promise<Score> {
  const truth = new TruthTable(1_000_000)
  for (const line of day.truth()) truth.add(line)
  const scorer = new Scorer(truth)
  const bus = new InProcessBus()
  const stop = new AbortController()
  const matcher = new Matcher({ bus, store: new MemoryStore(), constants, provisional: true, ...withinProcess })
  const read = async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'score', stop.signal)) {
      for (const { value } of batch.records) scorer.add(codecs['labeled-sessions'].decodeOwn(value!))
      await batch.commit()
    }
  }
  const running = Promise.all([matcher.run(stop.signal), read()])
  running.catch(() => bus.close())
  for (const { topic, key, value } of day.inputs()) await bus.publish(topic, [{ key, value }])
  await bus.drained()
  await matcher.end()
  await matcher.finish()
  await bus.drained()
  stop.abort()
  await running
  return scorer.score()
}
