import type { MatchConstants } from '#core/constants.ts'
import { codecs } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import type { RecordedInput } from '../embedded/recording-fixture.ts'
import { Matcher, withinProcess } from '../matcher/matcher.ts'
import { type Score, Scorer } from './score.ts'
import { type TruthLine, TruthTable } from './truth-line.ts'

/** Traffic as agents and sensor publish it, and who truly made it. */
export interface Recorded<Input extends RecordedInput = RecordedInput> {
  truth: () => Iterable<TruthLine>
  /** In the order in which they are published. */
  inputs: () => Iterable<Input>
}

/** What a bus holds, and when it was taken in: microseconds since the epoch. */
export interface TimedInput extends RecordedInput {
  takenInUs: number
}

/** Clocks of truth and capture are one machine's. */
const slackUs = 1_000_000

/** Gathers sessions against this truth. */
export function scorerOf(truth: Iterable<TruthLine>): Scorer {
  const table = new TruthTable(slackUs)
  for (const line of truth) table.add(line)
  return new Scorer(table)
}

/**
 * Labels what was recorded in this process, live and by post-processing, and holds it against its truth. `isOver`: the input is
 * known to be over, and all that is not final is judged once more with all that was learned by then; services never know that.
 */
export async function scoreInputs(recorded: Recorded, constants: MatchConstants, isOver = true): Promise<Score> {
  const scorer = scorerOf(recorded.truth())
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
  for (const { topic, key, value } of recorded.inputs()) await bus.publish(topic, [{ key, value }])
  await bus.drained()
  if (isOver) {
    await matcher.end()
    await matcher.finish()
    await bus.drained()
  }
  stop.abort()
  await running
  return scorer.score()
}
