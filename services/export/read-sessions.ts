import { type Codecs, DecodeError, type LabeledSession } from '#schemas'
import type { BeginAt, Bus, ConsumedRecord, Subscription } from '#shared/bus/bus.ts'

export const sessionsTopic = 'labeled-sessions'

export interface SessionReaderOptions {
  bus: Pick<Bus, 'subscribe' | 'reader'>
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

/** How often it is looked whether the end is reached. */
const endCheckMs = 200

/** The labeled sessions that are there, to the end of the topic; all revisions. `group` is to be of this reader alone. */
export async function* readToEnd(options: SessionReaderOptions): AsyncGenerator<LabeledSession> {
  const { bus, group, signal } = options
  const end = new AbortController()
  const watch = setInterval(() => {
    const reader = bus.reader(group)
    if (reader?.knowsEnd && reader.waiting === 0 && reader.lag.every(({ records }) => records === 0)) end.abort()
  }, endCheckMs)
  try {
    for await (const { sessions } of readSessions({ ...options, signal: AbortSignal.any([signal, end.signal]) }))
      for (const { session } of sessions) yield session
  } finally {
    clearInterval(watch)
  }
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
