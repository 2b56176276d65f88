import { hostname } from 'node:os'
import process from 'node:process'
import { Command } from 'commander'
import type { LabeledSession } from '#schemas'
import { openLinuxSource } from '../agent/linux.ts'
import { openInterface } from '../capture/cap-source.ts'
import { runLive } from '../embedded/live.ts'
import { JsonLinesWriter } from './json-lines-writer.ts'
import { type MatchFlags, matchConstants, matchOptions } from './match-options.ts'
import { stopSignal } from './stop-signal.ts'
import { count, Summary, summaryRow } from './summary.ts'
import { wholeNumber } from './whole-number.ts'

interface LiveFlags extends MatchFlags {
  interface: string
  filter: string
  out?: string
  host: string
  duration?: number
}

const redrawMs = 1000

export const liveCommand = (): Command =>
  matchOptions(
    new Command('live')
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
    const view = new LiveView(flags.interface)
    const sink = (session: LabeledSession) => {
      view.add(session)
      return writer?.write(session)
    }
    const source = openLinuxSource()
    if (source.restriction) process.stderr.write(`${source.restriction}\n`)
    const timer = setInterval(() => view.draw(), redrawMs)
    try {
      await runLive({ packets, source, constants, hostId: flags.host, sink, signal: stopSignal(flags.duration) })
    } finally {
      clearInterval(timer)
      await packets.close()
      await writer?.end()
    }
    view.end()
    const { read, skipped } = packets.statistics()
    const lost = Object.values(skipped).reduce((a, b) => a + b, 0)
    process.stderr.write(`records ${read} read, ${lost} skipped\n`)
  })

/** The terminal view: sessions a second and the report so far, drawn in place; without a terminal only the last one. */
class LiveView {
  readonly #interface: string
  readonly #rows = new Map<string, ReturnType<typeof summaryRow>>()
  #before = 0

  constructor(name: string) {
    this.#interface = name
  }

  add(session: LabeledSession): void {
    this.#rows.set(session.session_id, summaryRow(session))
  }

  draw(): void {
    if (!process.stderr.isTTY) return
    const rate = this.#rows.size - this.#before
    this.#before = this.#rows.size
    process.stderr.write(
      `\x1b[H\x1b[J${this.#interface}  ${count(rate)} sessions/s; Ctrl-C ends\n\n${this.#render()}\n`,
    )
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\x1b[H\x1b[J')
    process.stderr.write(`${this.#render()}\n`)
  }

  #render(): string {
    const summary = new Summary()
    for (const row of this.#rows.values()) summary.add(row)
    return summary.render()
  }
}
