import { isIP } from 'node:net'
import { hostname } from 'node:os'
import process from 'node:process'
import { Command, InvalidArgumentError, Option } from 'commander'
import { loadNativeIfBuilt } from '#native'
import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import type { WindowsEvidence } from '../agent/windows-log-record.ts'
import { captureFiles, mergeCaptures } from '../capture/files/merge-captures.ts'
import { isByHost } from '../capture/host-files/minute-files.ts'
import type { LabelResult } from '../embedded/label.ts'
import type { SocketLogs } from '../embedded/socket-logs.ts'
import { type FormatName, formatNames } from '../export/format-names.ts'
import { type DuplicateFlags, duplicateOption, duplicateWindowUs } from './duplicate-option.ts'
import { JsonLinesWriter } from './json-lines-writer.ts'
import { linkTypeText } from './link-type-text.ts'
import { type MatchFlags, matchConstants, matchOptions } from './match-options.ts'
import { Progress } from './progress.ts'
import { sessionWriter } from './session-writer.ts'
import { Summary, summaryRow } from './summary.ts'
import { count } from './text-table.ts'

// What only some runs need is loaded by those: loading all of it takes longer than a small capture.
const embedded = {
  bare: () => import('../embedded/label-bare.ts'),
  label: () => import('../embedded/label.ts'),
  logs: () => import('../embedded/socket-logs.ts'),
  labels: () => import('../embedded/packet-labels.ts'),
  annotate: () => import('../embedded/annotate.ts'),
} as const

/** Clocks may differ by this much before capture and log are said not to overlap. */
const clockSlackUs = 60_000_000

interface LabelFlags extends MatchFlags, DuplicateFlags {
  sockets?: string[]
  evidence?: WindowsEvidence
  address?: string[]
  out: string
  format: FormatName
  pcapng?: string
  sensor: string
  quiet?: true
}

export const labelCommand = (): Command =>
  matchOptions(
    new Command('label')
      .description('labels the sessions of capture files with the processes of socket logs')
      .argument('<capture...>', 'pcap or pcapng files, plain, gzip or zstd; folders of them; - for standard input')
      .option(
        '--sockets <log...>',
        'socket logs of `proclabel record`, folders of them, Windows event logs (EVTX, JSON lines), logs of auditd and of ss with times',
      )
      .addOption(
        new Option('--address <ip...>', 'addresses of the host, where its log tells none, as that of auditd').argParser(
          addressList,
        ),
      )
      .addOption(
        new Option('--evidence <log>', 'which Windows events name the owner; by default those that name more').choices([
          'sysmon',
          'security',
        ]),
      )
      .addOption(duplicateOption('none by default: a file is read as it is'))
      .option('--out <file>', 'where the labeled sessions go; - for standard output', '-')
      .addOption(new Option('--format <format>', 'of the labeled sessions').choices(formatNames).default('jsonl'))
      .option('--pcapng <file>', 'the capture once more, each packet with its process, pid and stage in a comment')
      .option('--sensor <id>', 'name of the sensor that captured', hostname())
      .option('--quiet', 'no progress bar and no report, only the line of counts'),
  ).action(async (captures: string[], flags: LabelFlags) => {
    const constants = await matchConstants(flags)
    const logs = flags.sockets
      ? await (await embedded.logs()).openSocketLogs(flags.sockets, flags.evidence ?? null, flags.address)
      : null
    const files = await captureFiles(captures)
    if (files.length === 0)
      throw new InputError('PROCLABEL_INPUT', `no capture (*.pcap, *.pcapng, *.cap) in ${captures.join(', ')}`)
    const packets = await mergeCaptures(files)
    if (flags.pcapng !== undefined && files.includes('-'))
      throw new InputError('PROCLABEL_CONFIG', '--pcapng reads the captures twice: give files, not standard input')
    const labels = flags.pcapng === undefined ? null : new (await embedded.labels()).PacketLabels()
    const writer = await sessionWriter(flags.format, flags.out)
    const summary = new Summary()
    const sink = (session: LabeledSession) => {
      summary.add(summaryRow(session))
      labels?.add(session)
      return writer.write(session)
    }
    const progress = await Progress.start(files, flags.quiet === true)
    const options = {
      packets,
      sensorId: flags.sensor,
      duplicateWindowUs: duplicateWindowUs(flags, 0) ?? (isByHost(files) ? 0 : null),
      onProgress: () => progress.update(packets.statistics()),
    }
    const isBare = logs === null && labels === null
    const addon = isBare ? loadNativeIfBuilt() : null
    const result =
      addon !== null && writer instanceof JsonLinesWriter
        ? await (await embedded.bare()).labelBare(addon, options, lines => writer.writeLines(lines))
        : await (await embedded.label()).labelCapture({ ...options, logs, constants, sink })
    if ('sessions' in result) for (const [proto, count] of result.sessions) summary.addUnmonitored(proto, count)
    progress.end()
    await writer.end()
    await packets.close()
    if (labels !== null) {
      const again = await mergeCaptures(files)
      const { annotate } = await embedded.annotate()
      labels.native.endFile()
      const rest = { perProcess: null, cutPayload: false, dropCopies: isByHost(files) }
      await annotate(again, labels, { pcapng: flags.pcapng!, ...rest })
      await again.close()
      labels.close()
    }

    const { read, skipped } = packets.statistics()
    const damaged = sum(skipped) + sum(logs?.skipped ?? {}) > 0
    const unfit = logs ? whyUnfit(logs, result, summary.monitored) : null
    const say = (line: string) => process.stderr.write(`${line}\n`)
    if (!flags.quiet) {
      for (const note of logs?.notes ?? []) say(note)
      if (read > 0) say(`${summary.render()}\n`)
      const undecoded = Object.entries(result.frames).filter(([fate]) => fate !== 'ok')
      if (undecoded.length > 0) say(`frames not in a session: ${list(Object.fromEntries(undecoded))}`)
      for (const linkType of result.unsupportedLinkTypes) say(`cannot decode link type ${linkTypeText(linkType)}`)
    }
    if (logs) say(`socket log lines ${logs.read} read, ${sum(logs.skipped)} skipped${reasons(logs.skipped)}`)
    say(`records ${read} read, ${sum(skipped)} skipped${reasons(skipped)}`)
    if (read === 0 && !damaged) say(`proclabel: ${captures.join(', ')} holds no packets`)
    if (unfit) say(`proclabel: ${unfit}`)
    process.exitCode = damaged ? exitCodes.damagedInput : unfit ? exitCodes.unfitInputs : exitCodes.done
  })

function addressList(ip: string, before: string[] = []): string[] {
  if (isIP(ip) === 0) throw new InvalidArgumentError('expected an IP address')
  return [...before, ip]
}

/** Why a socket log says nothing about a capture, in a sentence; null when it may. */
function whyUnfit(
  logs: SocketLogs,
  { firstUs, lastUs }: Pick<LabelResult, 'firstUs' | 'lastUs'>,
  monitored: number,
): string | null {
  if (firstUs === null || lastUs === null) return null
  const hosts = logs.hosts.map(({ host_id }) => host_id).join(', ')
  if (monitored === 0) {
    const addresses = logs.hosts.flatMap(host => host.addresses.map(({ ip }) => ip))
    return `the socket log is of another host: no packet of the capture is to or from ${hosts} (${addresses.join(', ')})`
  }
  if (logs.firstUs === null || logs.lastUs === null) return `the socket log of ${hosts} holds no sockets`
  const apartUs = Math.max(logs.firstUs - lastUs, firstUs - logs.lastUs)
  if (apartUs <= clockSlackUs) return null
  const order = logs.firstUs > lastUs ? 'begins after the capture ends' : 'ends before the capture begins'
  return `the socket log of ${hosts} ${order}, by ${duration(apartUs)}: nothing can match`
}

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([reason, n]) => `${count(n)} ${reason}`)
    .join(', ')

const reasons = (skipped: Readonly<Record<string, number>>): string => (sum(skipped) === 0 ? '' : ` (${list(skipped)})`)

function duration(us: number): string {
  const seconds = Math.round(us / 1e6)
  const units = [
    ['days', 86_400],
    ['hours', 3600],
    ['minutes', 60],
  ] as const
  const unit = units.find(([, size]) => seconds >= 2 * size)
  return unit ? `${(seconds / unit[1]).toFixed(1)} ${unit[0]}` : `${seconds} seconds`
}
