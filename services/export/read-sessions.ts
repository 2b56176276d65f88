import { type Codecs, DecodeError, type LabeledSession } from '#schemas'
import type { BeginAt, Bus, ConsumedRecord, Subscription } from '#shared/bus/bus.ts'

export const sessionsTopic = 'labeled-sessions'

export interface SessionReaderOptions {
  bus: Pick<Bus, 'subscribe'>
  group: string
  codecs: Pick<Codecs, typeof sessionsTopic>
  /** Learns the schemas of records that other versions wrote; answers undefined when it knows them. */
  prepare: (records: readonly ConsumedRecord[]) => Promise<void> | undefined
  /** Is told of a record that is no labeled session. */
  onDamaged: (record: ConsumedRecord, error: DecodeError) => Promise<void> | void
  signal: AbortSignal
  beginAt?: BeginAt
}

export interface SessionBatch {
  sessions: { session: LabeledSession; appendMs: number }[]
  commit: () => Promise<void>
}

/**
 * Labeled sessions as they are published, until `signal` aborts. The group exists from this call on; what was not committed
 * comes again to it.
 */
export function readSessions(options: SessionReaderOptions): AsyncGenerator<SessionBatch> {
  const { bus, group, signal, beginAt = 'earliest' } = options
  return decoded(bus.subscribe([sessionsTopic], group, signal, {}, beginAt), options)
}

async function* decoded(
  subscription: Subscription,
  { codecs, prepare, onDamaged }: SessionReaderOptions,
): AsyncGenerator<SessionBatch> {
  for await (const { records, commit } of subscription) {
    await prepare(records)
    const sessions: SessionBatch['sessions'] = []
    for (const record of records) {
      if (record.value === null) continue
      try {
        sessions.push({ session: codecs[sessionsTopic].decode(record.value), appendMs: record.appendMs })
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        await onDamaged(record, error)
      }
    }
    yield { sessions, commit }
  }
}
