import { Command } from 'commander'
import { runExportService } from '../export/main.ts'
import { mebibyte, runService, type ServiceFlags, serviceOptions } from './run-service.ts'
import { wholeNumber } from './whole-number.ts'

interface ExportFlags extends ServiceFlags {
  out: string
  fileSize: number
  exportGroup: string
  partitions: number
}

export const exportCommand = (): Command =>
  serviceOptions(new Command('export'))
    .description('writes labeled sessions from Kafka to files of JSON lines, a new one each hour')
    .requiredOption('--out <folder>', 'folder of the files; made when it is not there')
    .option('--file-size <MiB>', 'a file of this size is followed by the next', wholeNumber(1, 1_048_576), 256)
    .option('--export-group <name>', 'exporters of one group share the sessions; each group gets all', 'export')
    .option('--partitions <n>', 'partitions of labeled-sessions, for the metrics', wholeNumber(1, 10_000), 48)
    .action((flags: ExportFlags) =>
      runService('export', flags, async parts => {
        const { out: folder, fileSize, exportGroup: group, partitions } = flags
        const result = await runExportService({
          ...parts,
          folder,
          maxFileBytes: fileSize * mebibyte,
          group,
          partitions,
        })
        parts.log.info(result, 'summary')
      }),
    )
