import { hostname } from 'node:os'
import process from 'node:process'
import { Command } from 'commander'
import type { LabeledSession } from '#schemas'
import { openInterface } from '../capture/open-interface.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import { runLive } from '../embedded/live.ts'
import { JsonLinesWriter } from './json-lines-writer.ts'
import { type MatchFlags, matchConstants, matchOptions } from './match-options.ts'
import { openSources, type SourceFlags, sourceOptions } from './source-options.ts'
import { stopSignal } from './stop-signal.ts'
import { Summary, type SummaryRow, summaryRow } from './summary.ts'
import { count } from './text-table.ts'
import { wholeNumber } from './whole-number.ts'

interface LiveFlags extends MatchFlags, SourceFlags {
  interface: string
  filter: string
  out?: string
  host: string
  duration?: number
}

/** DEC private mode 1049, and the cursor out of sight meanwhile. */
const alternateScreen = { enter: '\x1b[?1049h\x1b[?25l', leave: '\x1b[?25h\x1b[?1049l' }
/** Lines of the view that are no processes: title, sessions, stages, heads, most causes. */
const rowsBesides = 23
const redrawMs = 1000
/** Sessions of which a later revision replaces the earlier one in the report; the oldest are forgotten first. */
const maxRows = 50_000

export const liveCommand = (): Command =>
  matchOptions(
    sourceOptions(new Command('live'))
      .description("labels this machine's traffic while it flows: agent, capture and matcher in one process")
      .requiredOption('-i, --interface <name>', 'interface to capture on')
      .option('--filter <expression>', 'capture filter, as for tcpdump', '')
      .option('--out <file>', 'where the labeled sessions go, as JSON lines; - for standard output')
      .option('--host <id>', "host id; by default the machine's name", hostname())
      .option('--duration <s>', 'stop by itself after so many seconds', wholeNumber(1, 31_536_000)),
  ).action(async (flags: LiveFlags) => {
    const constants = await matchConstants(flags)
    const packets = openInterface(flags.interface, flags.filter)
    const writer = flags.out ? new JsonLinesWriter(flags.out) : null
    const say = (line: string) => process.stderr.write(`${line}\n`)
    const { source, events: opened } = await openSources(flags)
    const { source: events, refusals } = opened
    if (source.restriction) say(source.restriction)
    for (const refusal of refusals) say(`no kernel events by ${refusal}`)
    const how = events ? ` by polls and ${events.mechanism} events` : ' by polls alone'
    say(`labeling the traffic of ${flags.interface}${how}; Ctrl-C ends it`)
    const isShown = process.stderr.isTTY && !(flags.out === '-' && process.stdout.isTTY)
    const view = new LiveView(isShown ? { title: flags.interface, packets } : null)
    const sink = (session: LabeledSession) => {
      view.add(session)
      return writer?.write(session)
    }
    try {
      const signal = stopSignal(flags.duration)
      await runLive({ packets, source, events, constants, hostId: flags.host, sink, signal })
    } finally {
      view.close()
      await packets.close()
      await writer?.end()
    }
    say(`${view.summary.render()}\n`)
    const { read, skipped } = packets.statistics()
    const lost = Object.values(skipped).reduce((a, b) => a + b, 0)
    say(`records ${read} read, ${lost} skipped${lost > 0 ? ' (queue-full)' : ''}`)
  })

/** The report so far and sessions a second, on a screen of its own, so that what the terminal showed before comes back. */
class LiveView {
  readonly summary = new Summary()
  readonly #rows = new Map<string, SummaryRow>()
  readonly #timer: NodeJS.Timeout | null = null
  #sessions = 0
  #drawn = { sessions: 0, packets: 0, ms: performance.now() }

  /** Null draws nothing. */
  constructor(screen: { title: string; packets: PacketSource } | null) {
    if (screen === null) return
    const draw = () => this.#draw(screen.title, screen.packets.statistics().read)
    process.stderr.write(alternateScreen.enter)
    draw()
    this.#timer = setInterval(draw, redrawMs)
  }

  add(session: LabeledSession): void {
    const before = this.#rows.get(session.session_id)
    if (before) this.summary.remove(before)
    else if (session.revision > 0)
      return // forgotten: it stays counted as it was
    else this.#sessions++
    const row = summaryRow(session)
    this.summary.add(row)
    this.#rows.delete(session.session_id)
    this.#rows.set(session.session_id, row)
    if (this.#rows.size > maxRows) this.#rows.delete(this.#rows.keys().next().value!)
  }

  close(): void {
    if (this.#timer === null) return
    clearInterval(this.#timer)
    process.stderr.write(alternateScreen.leave)
  }

  #draw(title: string, packets: number): void {
    const now = { sessions: this.#sessions, packets, ms: performance.now() }
    const perSecond = (of: 'packets' | 'sessions') =>
      count(Math.round(((now[of] - this.#drawn[of]) * 1000) / Math.max(1, now.ms - this.#drawn.ms)))
    const head = `${title}  ${perSecond('packets')} packets/s  ${perSecond('sessions')} sessions/s; Ctrl-C ends`
    this.#drawn = now
    const { rows = 24, columns = 80 } = process.stderr
    const body = this.summary.render(Math.max(3, rows - rowsBesides))
    const lines = `${head}\n(a session is told when it ends, or after 10 s)\n\n${body}`.split('\n').slice(0, rows - 1)
    process.stderr.write(`\x1b[H${lines.map(line => `${line.slice(0, columns)}\x1b[K\n`).join('')}\x1b[J`)
  }
}
