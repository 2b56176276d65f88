import { setTimeout as sleep } from 'node:timers/promises'
import { codecs } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { countRecords, eachRecord } from '../e2e/lab/read-topics.ts'
import { Services } from '../e2e/lab/services.ts'
import { type Stack, startStack } from '../e2e/stack/stack.ts'
import type { Score } from './score.ts'
import { scorerOf } from './score-inputs.ts'
import type { TruthLine } from './truth-line.ts'

export const partitions = 6
/** The resolver looks every 30 s: nothing for so long means that all is told. */
const quietMs = 45_000

/** Kafka and Redis of its own; two matchers and a resolver on them, as their commands start them. */
export class KafkaPipeline {
  readonly stack: Stack
  readonly services: Services
  readonly bus: KafkaBus

  private constructor(stack: Stack) {
    this.stack = stack
    this.services = new Services(stack, null)
    this.bus = new KafkaBus({ brokers: this.brokers, clientId: 'lab' })
  }

  /** With all topics, which `makeTopics` makes, and no service yet. */
  static async start(
    makeTopics = (services: Services): Promise<void> => services.prepare(partitions),
  ): Promise<KafkaPipeline> {
    const pipeline = new KafkaPipeline(await startStack({ kafka: true, redis: true }))
    try {
      await makeTopics(pipeline.services)
      return pipeline
    } catch (error) {
      await pipeline.stop()
      throw error
    }
  }

  get brokers(): readonly string[] {
    return this.stack.kafka!.brokers
  }

  async startLabeling(matcherArgs: readonly string[] = []): Promise<void> {
    const shared = ['--partitions', String(partitions)]
    const matcher = () => this.services.start('matcher', [...shared, ...matcherArgs], 'reading')
    await Promise.all([matcher(), matcher(), this.services.start('resolver', shared, 'reading')])
  }

  /**
   * Waits until nothing more is told of any session, or what was told is all that is expected; answers with when the last was
   * told, by performance.now().
   */
  async untilTold(isAll: () => Promise<boolean> = async () => false): Promise<number> {
    let [told, toldMs] = [0, performance.now()]
    for (; performance.now() - toldMs < quietMs; await sleep(1000)) {
      const now = await countRecords(this.services, ['labeled-sessions'])
      if (now !== told) [told, toldMs] = [now, performance.now()]
      else if (await isAll()) break
    }
    return toldMs
  }

  /** Holds what was told against its truth; answers with the number of records, too. */
  async score(truth: Iterable<TruthLine>): Promise<{ score: Score; told: number }> {
    const scorer = scorerOf(truth)
    let told = 0
    for await (const { input } of eachRecord(this.services, this.bus, ['labeled-sessions'])) {
      scorer.add(codecs['labeled-sessions'].decode(input.value))
      told++
    }
    return { score: scorer.score(), told }
  }

  async stop(): Promise<void> {
    this.services.kill()
    await this.bus.close()
    await this.stack.stop()
  }
}
