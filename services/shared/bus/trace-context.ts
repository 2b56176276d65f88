/** Which trace a record belongs to, as W3C Trace Context (https://www.w3.org/TR/trace-context/) has it, in a header of the record. */
import { randomBytes } from 'node:crypto'
import type { Bus, Headers } from './bus.ts'

/** Its value is `00-TRACE_ID-SPAN_ID-FLAGS`, in lower-case hex; OpenTelemetry's propagators read and write it. */
export const traceHeader = 'traceparent'

const layout = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?$/
const sampledFlag = 1

/** The header of a span of its own in a trace; of a trace of its own when none is given. */
const spanOf = (traceId = randomBytes(16).toString('hex')): Headers => ({
  [traceHeader]: Buffer.from(`00-${traceId}-${randomBytes(8).toString('hex')}-01`),
})

/** The headers of what follows from a record: the same trace, if that is sampled; undefined otherwise. */
export function continuedTrace(headers: Headers | undefined): Headers | undefined {
  const text = headers?.[traceHeader] && Buffer.from(headers[traceHeader]).toString('latin1')
  const [, traceId, flags, rest] = (text && layout.exec(text)) || []
  if (traceId === undefined || (rest !== undefined && text!.startsWith('00'))) return undefined
  return Number.parseInt(flags!, 16) & sampledFlag ? spanOf(traceId) : undefined
}

/** A bus on which one of `oneIn` records that are published, by chance, begins a trace. */
export const tracedBus = (bus: Bus, oneIn: number): Bus => ({
  publish: (topic, records) =>
    bus.publish(
      topic,
      records.map(record =>
        Math.random() * oneIn < 1 ? { ...record, headers: { ...record.headers, ...spanOf() } } : record,
      ),
    ),
  subscribe: (...all) => bus.subscribe(...all),
  reader: group => bus.reader(group),
  close: () => bus.close(),
})
