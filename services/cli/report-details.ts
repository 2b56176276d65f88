import type { LabeledSession } from '#schemas'
import { increase, type Section, sorted } from './summary.ts'
import { count, percent } from './text-table.ts'

interface HostDetails {
  sessions: number
  labeled: number
  causes: Map<string, number>
  /** Clock offsets that were applied, microseconds: least, most and latest. */
  offset: { least: number; most: number; last: number; atUs: number } | null
}

interface HourDetails {
  sessions: number
  /** Sessions without a label, by host. */
  unknown: Map<string, number>
}

const namesShown = 5
const mostNames = 1000

/** What the report tells beyond its summary: hosts, their clocks, unknowns over time, server names. */
export class ReportDetails {
  readonly #hosts = new Map<string, HostDetails>()
  readonly #hours = new Map<string, HourDetails>()
  readonly #names = new Map<string, Map<string, number>>()

  add({ host_id, label, unknown_cause, first_us, evidence, sni, dns_name }: LabeledSession): void {
    if (host_id === null) return
    const host = this.#hosts.get(host_id) ?? { sessions: 0, labeled: 0, causes: new Map(), offset: null }
    this.#hosts.set(host_id, host)
    const hourOf = new Date(first_us / 1000).toISOString().slice(0, 13)
    const hour = this.#hours.get(hourOf) ?? { sessions: 0, unknown: new Map() }
    this.#hours.set(hourOf, hour)
    host.sessions++
    hour.sessions++
    if (label === null) {
      increase(host.causes, unknown_cause ?? 'not judged', 1)
      increase(hour.unknown, host_id, 1)
    } else {
      host.labeled++
      const name = sni ?? dns_name
      if (name !== null) this.#addName(label.process, name)
    }
    const offset = evidence.clock_offset_us
    if (offset === null) return
    host.offset ??= { least: offset, most: offset, last: offset, atUs: first_us }
    host.offset.least = Math.min(host.offset.least, offset)
    host.offset.most = Math.max(host.offset.most, offset)
    if (first_us >= host.offset.atUs) Object.assign(host.offset, { last: offset, atUs: first_us })
  }

  sections(): Section[] {
    if (this.#hosts.size === 0) return []
    const hosts = [...this.#hosts].sort(([a], [b]) => (a < b ? -1 : 1))
    const causes = [...new Set(hosts.flatMap(([, { causes }]) => [...causes.keys()]))].sort()
    const ms = (us: number | undefined) => (us === undefined ? '' : (us / 1000).toFixed(3))
    const sections: Section[] = [
      {
        title: 'Hosts and their clocks',
        note: 'Clock: that of the host minus that of the capture, milliseconds, as it was applied.',
        head: ['Host', 'Sessions', 'Labeled', 'Share', 'Clock, last', 'least', 'most'],
        rows: hosts.map(([name, { sessions, labeled, offset }]) => [
          ...[name, count(sessions), count(labeled), percent(labeled, sessions)],
          ...[ms(offset?.last), ms(offset?.least), ms(offset?.most)],
        ]),
      },
      {
        title: 'Without a label, by host and cause',
        note: null,
        head: ['Host', ...causes],
        rows: hosts.map(([name, { causes: counts }]) => [name, ...causes.map(cause => count(counts.get(cause) ?? 0))]),
      },
      {
        title: 'Without a label, by hour (UTC) and host',
        note: null,
        head: ['Hour', 'Sessions', 'No label', 'Share', ...hosts.map(([name]) => name)],
        rows: [...this.#hours]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([hour, { sessions, unknown }]) => {
            const all = [...unknown.values()].reduce((a, b) => a + b, 0)
            const byHost = hosts.map(([name]) => count(unknown.get(name) ?? 0))
            return [`${hour.replace('T', ' ')}:00`, count(sessions), count(all), percent(all, sessions), ...byHost]
          }),
      },
      {
        title: 'Server names by process',
        note: null,
        head: ['Process', 'Sessions with a name', 'Most frequent names'],
        rows: sorted(this.#names, sumOf)
          .slice(0, 20)
          .map(([process, names]) => [
            ...[process, count(sumOf(names))],
            sorted(names, n => n)
              .slice(0, namesShown)
              .map(([name, n]) => `${name} ${count(n)}`)
              .join(', '),
          ]),
      },
    ]
    return sections.filter(({ head, rows }) => rows.length > 0 && head.length > 1)
  }

  /** Names beyond so many of a process count together. */
  #addName(process: string, name: string): void {
    const names = this.#names.get(process) ?? new Map()
    this.#names.set(process, names)
    increase(names, names.has(name) || names.size < mostNames ? name : 'others', 1)
  }
}

const sumOf = (counts: Map<string, number>): number => [...counts.values()].reduce((a, b) => a + b, 0)
