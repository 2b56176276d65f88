import process from 'node:process'
import { Command, Option } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { Dataset, type DatasetOptions } from '../export/dataset.ts'
import { type FormatName, formatNames, tableOf } from '../export/formats.ts'
import { runExportService } from '../export/main.ts'
import { readSessions } from './read-json-lines.ts'
import { needsBrokers, runService, type ServiceFlags, serviceOptions, withoutBrokers } from './run-service.ts'
import { count } from './text-table.ts'
import { wholeNumber } from './whole-number.ts'

interface ExportFlags extends ServiceFlags {
  out: string
  format: FormatName
  every: number
  exportGroup: string
  partitions: number
}

export const exportCommand = (): Command =>
  withoutBrokers(serviceOptions(new Command('export')))
    .description(
      'makes a dataset of labeled sessions: tables by day and host, each session once by its latest revision',
    )
    .argument('[file...]', 'labeled sessions as JSON lines; without any, those of Kafka, until it is told to stop')
    .requiredOption('--out <folder>', 'folder of the dataset; made when it is not there, brought up to date when it is')
    .addOption(new Option('--format <format>', 'of the tables').choices(formatNames).default('parquet'))
    .option('--every <seconds>', 'with Kafka: how often the tables are brought up to date', wholeNumber(1, 86_400), 300)
    .option('--export-group <name>', 'with Kafka: each group gets all sessions; one exporter a group', 'export')
    .option('--partitions <n>', 'partitions of labeled-sessions, for the metrics', wholeNumber(1, 10_000), 48)
    .action(async (files: string[], flags: ExportFlags) => {
      const dataset: DatasetOptions = {
        folder: flags.out,
        format: tableOf(flags.format, false),
        selection: {},
        privacy: {},
        tool: `proclabel ${packageJson.version}`,
        wanted: () => true,
      }
      if (files.length > 0) return exportFiles(files, dataset)
      return runService('export', needsBrokers(flags), async parts => {
        const { exportGroup: group, partitions, every } = flags
        const result = await runExportService({
          ...parts,
          dataset,
          disguise: session => session,
          everyMs: every * 1000,
          group,
          partitions,
        })
        parts.log.info(result, 'summary')
      })
    })

async function exportFiles(files: readonly string[], options: DatasetOptions): Promise<void> {
  const dataset = new Dataset(options)
  let read = 0
  let skipped = 0
  for (const file of files) {
    for await (const session of readSessions(file)) {
      read++
      if (session === null) skipped++
      else await dataset.add(session)
    }
  }
  if (read === skipped)
    throw new InputError(
      'PROCLABEL_INPUT',
      `${files.join(', ')} holds no labeled sessions: give it what 'proclabel label' wrote`,
    )
  await dataset.flush()
  process.stderr.write(`${count(dataset.sessions)} sessions in ${options.folder}\n`)
  process.stderr.write(`records ${read} read, ${skipped} skipped\n`)
  process.exitCode = skipped > 0 ? exitCodes.damagedInput : exitCodes.done
}
