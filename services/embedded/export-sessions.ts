import { codecs, type LabeledSession } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'

/** Hands every labeled session on this process's bus to `sink`, until `signal` aborts. */
export async function exportSessions(
  bus: Bus,
  sink: (session: LabeledSession) => Promise<void> | void,
  signal: AbortSignal,
): Promise<void> {
  for await (const { records, commit } of bus.subscribe(['labeled-sessions'], 'export', signal)) {
    for (const { value } of records) if (value) await sink(codecs['labeled-sessions'].decodeOwn(value))
    await commit()
  }
}
