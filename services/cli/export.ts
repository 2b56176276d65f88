import { rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { Command, Option } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import packageJson from '../../package.json' with { type: 'json' }
import type { Payloads } from '../embedded/payloads.ts'
import { Dataset, type DatasetOptions } from '../export/dataset.ts'
import { disguiseWith, privacyText } from '../export/disguise.ts'
import { type Division, divide } from '../export/divide.ts'
import { type FormatName, formatNames } from '../export/format-names.ts'
import { tableOf } from '../export/formats.ts'
import { selects } from '../export/selection.ts'
import { sessionsOfLines } from '../export/session-lines.ts'
import type { TableSession } from '../export/table-session.ts'
import { compileDataset, type DatasetFlags, datasetOptions, selectionText } from './dataset-options.ts'
import { readBytes } from './read-json-lines.ts'
import { needsBrokers, runService, type ServiceFlags, serviceOptions, withoutBrokers } from './run-service.ts'
import { count } from './text-table.ts'
import { wholeNumber } from './whole-number.ts'

interface ExportFlags extends ServiceFlags, DatasetFlags {
  out: string
  format: FormatName
  payload?: number
  captures?: string[]
  every: number
  exportGroup: string
  partitions: number
}

export const exportCommand = (): Command =>
  datasetOptions(withoutBrokers(serviceOptions(new Command('export'))))
    .description(
      'makes a dataset of labeled sessions: tables by day and host, each session once by its latest revision',
    )
    .argument('[file...]', 'labeled sessions as JSON lines; without any, those of Kafka, until it is told to stop')
    .requiredOption('--out <folder>', 'folder of the dataset; made when it is not there, brought up to date when it is')
    .addOption(new Option('--format <format>', 'of the tables').choices(formatNames).default('parquet'))
    .option('--payload <bytes>', 'with files: the first payload bytes of each session', wholeNumber(1, 65_535))
    .option('--captures <path...>', 'with --payload: captures that the sessions were labeled from')
    .option('--every <seconds>', 'with Kafka: how often the tables are brought up to date', wholeNumber(1, 86_400), 300)
    .option('--export-group <name>', 'with Kafka: each group gets all sessions; one exporter a group', 'export')
    .option('--partitions <n>', 'partitions of labeled-sessions, for the metrics', wholeNumber(1, 10_000), 48)
    .action(async (files: string[], flags: ExportFlags) => {
      const { selection, privacy, division } = compileDataset(flags, files.length > 0)
      const disguise = disguiseWith(privacy)
      const dataset: DatasetOptions = {
        folder: flags.out,
        format: tableOf(flags.format, flags.payload !== undefined),
        selection: { ...selectionText(flags), ...(flags.payload && { payload_bytes: flags.payload }) },
        privacy: privacyText(privacy),
        tool: `proclabel ${packageJson.version}`,
        wanted: selects(selection),
      }
      if (files.length > 0) {
        const payloads = await payloadsOf(files, flags, disguise)
        const payloadOf = ({ session_id }: TableSession) => payloads?.of(session_id) ?? null
        try {
          return await exportFiles(files, { ...dataset, payloadOf }, disguise, division)
        } finally {
          payloads?.close()
        }
      }
      return runService('export', needsBrokers(flags), async parts => {
        const { runExportService } = await import('../export/main.ts')
        const { exportGroup: group, partitions, every } = flags
        const rest = { dataset, disguise, everyMs: every * 1000, group, partitions }
        parts.log.info(await runExportService({ ...parts, ...rest }), 'summary')
      })
    })

/** By session id as it is exported; null where payload is not asked for. Throws InputError. */
async function payloadsOf(
  files: readonly string[],
  { payload, captures = [], format }: ExportFlags,
  disguise: (session: TableSession) => TableSession,
): Promise<Payloads | null> {
  if (payload === undefined && captures.length === 0) return null
  if (payload === undefined || captures.length === 0 || format === 'csv')
    throw new InputError('PROCLABEL_CONFIG', '--payload and --captures go together, with Parquet or JSON lines')
  const { captureFiles, mergeCaptures } = await import('../capture/files/merge-captures.ts')
  const { PacketLabels } = await import('../embedded/packet-labels.ts')
  const { Payloads } = await import('../embedded/payloads.ts')
  const labels = new PacketLabels()
  const payloads = new Payloads(payload)
  try {
    for (const file of files)
      for await (const sessions of sessionsOfLines(readBytes(file)))
        for (const session of sessions)
          if (session !== null) labels.add({ ...session, session_id: disguise(session).session_id })
    const packets = await mergeCaptures(await captureFiles(captures))
    await payloads.collect(packets, labels)
    await packets.close()
    return payloads
  } catch (error) {
    payloads.close()
    throw error
  } finally {
    labels.close()
  }
}

async function exportFiles(
  files: readonly string[],
  options: DatasetOptions,
  disguise: (session: TableSession) => TableSession,
  division: Division | null,
): Promise<void> {
  const staging = join(options.folder, '.staging')
  if (division) rmSync(staging, { recursive: true, force: true })
  const first = new Dataset(division ? { ...options, folder: staging, format: tableOf('jsonl', false) } : options)
  let read = 0
  let skipped = 0
  for (const file of files) {
    for await (const sessions of sessionsOfLines(readBytes(file))) {
      read += sessions.length
      for (const session of sessions)
        if (session === null) skipped++
        else {
          const writing = first.add(disguise(session))
          if (writing) await writing
        }
    }
  }
  if (read === skipped)
    throw new InputError(
      'PROCLABEL_INPUT',
      `${files.join(', ')} holds no labeled sessions: give it what 'proclabel label' wrote`,
    )
  await first.flush()
  const dataset = division ? await divide(staging, options, division) : first
  if (division) rmSync(staging, { recursive: true })
  process.stderr.write(`${count(dataset.sessions)} sessions in ${options.folder}\n`)
  process.stderr.write(`records ${read} read, ${skipped} skipped\n`)
  process.exitCode = skipped > 0 ? exitCodes.damagedInput : exitCodes.done
}
