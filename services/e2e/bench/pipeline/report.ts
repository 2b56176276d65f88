import type { LoadFigures } from './load-file.ts'
import type { Reader } from './reader.ts'
import type { PartsCpu, Span } from './servers.ts'

/** A span of a load, and how it went. */
export interface Phase {
  figures: LoadFigures
  span: Span
}

const partNames = ['producer', 'broker', 'redis', 'matchers', 'reader'] as const satisfies readonly (keyof PartsCpu)[]

export const capacityHead =
  `| What | packets/s | sessions/s | records/s | ${partNames.join(' | ')} | CPU µs a packet | a session | others' CPU |\n` +
  `| --- | --- | --- | --- | ${partNames.map(() => '---').join(' | ')} | --- | --- | --- |`

/** A row: rates, CPU µs a packet of each part and of all, and what else ran meanwhile. */
export function printCapacity(what: string, { figures, span: { samples, told } }: Phase): void {
  const [first, last] = [samples[0]!, samples.at(-1)!]
  const seconds = (last.ms - first.ms) / 1000
  const used = (part: keyof PartsCpu) => last.cpu[part] - first.cpu[part]
  const ours = partNames.reduce((sum, part) => sum + used(part), 0)
  const perPacket = (cpu: number) => ((cpu * 1e6) / figures.packets).toFixed(2)
  const cells = [
    what,
    Math.round(figures.packets / seconds).toLocaleString('en'),
    Math.round(figures.sessions / seconds).toLocaleString('en'),
    Math.round(told / seconds).toLocaleString('en'),
    ...partNames.map(part => perPacket(used(part))),
    perPacket(ours),
    Math.round((ours * 1e6) / figures.sessions),
    `${((used('machine') - ours) / seconds).toFixed(2)} cores`,
  ]
  console.log(`| ${cells.join(' | ')} |`)
}

/** The worst matcher's lag in each tenth of the span: flat, or growing. */
export function printLag({ samples, answer }: Span): void {
  const lags = samples.map(({ lagS }) => lagS)
  const tenths = Array.from({ length: 10 }, (_, i) => {
    const part = lags.slice(Math.floor((i * lags.length) / 10), Math.floor(((i + 1) * lags.length) / 10))
    return (part.reduce((sum, lag) => sum + lag, 0) / part.length).toFixed(2)
  })
  console.log(`\nLag by tenths of that time, s: ${tenths.join(' ')}; ${Math.max(...lags).toFixed(2)} at most.`)
  console.log(`The producer was ${Math.round(answer.behindMs)} ms behind its pace at most.`)
}

export function printTimes({ beyondRuleMs, fromEndMs, firstLabelMs }: Reader): void {
  console.log('| From | sessions | p50 ms | p90 ms | p99 ms | most |\n| --- | --- | --- | --- | --- | --- |')
  for (const [what, times] of [
    ['the moment that the session rules set to the closed record', beyondRuleMs],
    ['the last packet to the closed record (FIN or RST; the rule is 5 s of silence)', fromEndMs],
    ['the first packet to the first record, while it goes on (the rule is 10 s)', firstLabelMs],
  ] as const) {
    const sorted = times.toSorted((a, b) => a - b)
    const at = (share: number) =>
      Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
    console.log(`| ${what} | ${sorted.length} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${at(1)} |`)
  }
}
