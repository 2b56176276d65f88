import process from 'node:process'
import { Command, Option } from 'commander'
import { type LogFormat, record } from '../agent/record.ts'
import { type PrivacyFlags, privacyOf, privacyOptions } from './privacy-option.ts'
import { openSources, type SourceFlags, sourceOptions } from './source-options.ts'
import { stopSignal } from './stop-signal.ts'
import { wholeNumber } from './whole-number.ts'

interface RecordFlags extends SourceFlags, PrivacyFlags {
  out: string
  format: LogFormat
  host?: string
  period: number
  duration?: number
}

export const recordCommand = (): Command =>
  privacyOptions(
    sourceOptions(new Command('record'))
      .description("writes this machine's sockets and their processes to a socket log, the input of `proclabel label`")
      .requiredOption('--out <folder>', 'folder of the log; made when it is not there')
      .addOption(
        new Option('--format <format>', 'JSON Lines, or Avro container files')
          .choices(['jsonl', 'avro'])
          .default('jsonl'),
      )
      .option('--host <id>', "host id; by default the machine's name")
      .option('--period <ms>', 'time between two polls of the socket table, milliseconds', wholeNumber(1, 60_000), 50)
      .option('--duration <s>', 'stop by itself after so many seconds', wholeNumber(1, 31_536_000)),
  ).action(async (flags: RecordFlags) => {
    const { out, format, host, period, duration } = flags
    const privacy = privacyOf(flags)
    const { source, events } = await openSources(flags)
    const say = (line: string) => process.stderr.write(`${line}\n`)
    if (source.restriction) say(source.restriction)
    for (const refusal of events.refusals) say(`no kernel events by ${refusal}`)
    const how = events.source ? ` and by ${events.source.mechanism} events` : ''
    say(`recording the sockets of ${host ?? 'this machine'} every ${period} ms${how} to ${out}; Ctrl-C ends it`)
    const statistics = await record({
      source,
      events: events.source,
      out,
      format,
      hostId: host,
      pollPeriodMs: period,
      privacy,
      signal: stopSignal(duration),
    })
    const { polls, messages, missedPolls, lostEvents } = statistics
    say(
      `${polls} polls and ${statistics.events} events in ${messages} messages, ${missedPolls} polls missed, ${lostEvents} events lost`,
    )
  })
