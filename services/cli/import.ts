import { Command, Option } from 'commander'
import type { Bus } from '#shared/bus/bus.ts'
import { HostKey, signedBus } from '#shared/bus/signed-records.ts'
import { runImportService } from '../agent/import.ts'
import type { WindowsEvidence } from '../agent/windows-log-record.ts'
import { type PrivacyFlags, privacyOf, privacyOptions } from './privacy-option.ts'
import { runService, type ServiceFlags, serviceOptions } from './run-service.ts'
import { wholeNumber } from './whole-number.ts'

interface ImportFlags extends ServiceFlags, PrivacyFlags {
  fromTopic: string
  evidence: WindowsEvidence[]
  importGroup?: string
  partitions: number
  hostKeyFile?: string
}

export const importCommand = (): Command =>
  serviceOptions(
    privacyOptions(
      new Command('import')
        .description('tells of the sockets of hosts whose Windows event logs a Kafka topic already gathers')
        .requiredOption(
          '--from-topic <topic>',
          'events of Sysmon or Security, one as JSON in each record, as Winlogbeat, NXLog and others send them',
        )
        .addOption(
          new Option('--evidence <log...>', 'which of these events are told')
            .choices(['sysmon', 'security'])
            .default(['sysmon', 'security']),
        )
        .option('--import-group <name>', 'consumer group; one importer a group, import-TOPIC when not given')
        .option('--partitions <n>', 'partitions of that topic, for the metrics', wholeNumber(1, 10_000), 48)
        .option(
          '--host-key-file <file>',
          'private key, PEM, that signs what is told; the list of host keys names it for these hosts',
        ),
    ),
  ).action((flags: ImportFlags) => {
    const hostKey = flags.hostKeyFile === undefined ? null : new HostKey(flags.hostKeyFile)
    const privacy = privacyOf(flags)
    return runService('import', flags, async parts => {
      const { fromTopic: topic, evidence, partitions, importGroup: group = `import-${topic}` } = flags
      const bus: Bus = hostKey ? { ...plainBus(parts.bus), ...signedBus(parts.bus, hostKey) } : parts.bus
      parts.log.info({ topic, group, public_key: hostKey?.publicKey }, 'importing')
      parts.log.info(await runImportService({ ...parts, bus, topic, partitions, group, evidence, privacy }), 'summary')
    })
  })

const plainBus = (bus: Bus): Bus => ({
  publish: (...all) => bus.publish(...all),
  subscribe: (...all) => bus.subscribe(...all),
  reader: group => bus.reader(group),
  close: () => bus.close(),
})
