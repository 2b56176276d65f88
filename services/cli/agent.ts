import { hostname } from 'node:os'
import { Command } from 'commander'
import type { DestinationStream } from 'pino'
import { HostKey, signedBus } from '#shared/bus/signed-records.ts'
import { runAgentService } from '../agent/main.ts'
import { type PrivacyFlags, privacyOf, privacyOptions } from './privacy-option.ts'
import { mebibyte, type ProducerFlags, producerOptions, runService, withSpool } from './run-service.ts'
import { openSources, type SourceFlags, sourceOptions } from './source-options.ts'
import { wholeNumber } from './whole-number.ts'

export interface AgentFlags extends ProducerFlags, SourceFlags, PrivacyFlags {
  host: string
  period: number
  calmPeriod: number
  maxCpu: number
  maxMemory: number
  hostKeyFile?: string
}

/** Adds the options of the agent. */
export const agentOptions = (command: Command): Command =>
  producerOptions(
    privacyOptions(
      sourceOptions(command)
        .option('--host <id>', "host id; by default the machine's name", hostname())
        .option('--period <ms>', 'time between two polls of the socket table, milliseconds', wholeNumber(1, 60_000), 50)
        .option(
          '--calm-period <ms>',
          'that time while kernel events tell of every socket and none is lost',
          wholeNumber(1, 60_000),
          500,
        )
        .option('--max-cpu <percent>', 'of one processor for polls: large tables less often', wholeNumber(1, 100), 10)
        .option(
          '--max-memory <MiB>',
          'of memory; above it the agent forgets what it can, then ends with exit status 5, to be started again',
          wholeNumber(1, 1_048_576),
          256,
        )
        .option(
          '--host-key-file <file>',
          "private key, PEM, that signs what this host tells; the Kafka client's may do",
        ),
    ),
  )

/** It logs to standard error when `logTo` is not given. */
export const agentCommand = (command = new Command('agent'), logTo?: DestinationStream): Command =>
  agentOptions(command)
    .description("publishes this machine's addresses, sockets and their processes")
    .action((given: AgentFlags) => {
      const flags = withSpool(given, 'agent')
      const hostKey = flags.hostKeyFile === undefined ? null : new HostKey(flags.hostKeyFile)
      return runService(
        'agent',
        flags,
        async parts => {
          if (hostKey) parts.log.info({ host_id: flags.host, public_key: hostKey.publicKey }, 'signing')
          const { agent, outgoing } = await runAgentService({
            ...parts,
            bus: hostKey ? signedBus(parts.bus, hostKey) : parts.bus,
            ...(await openSources(flags)),
            hostId: flags.host,
            pollPeriodMs: flags.period,
            calmPollPeriodMs: Math.max(flags.calmPeriod, flags.period),
            maxCpuShare: flags.maxCpu / 100,
            maxMemoryBytes: flags.maxMemory * mebibyte,
            privacy: privacyOf(flags),
            spool: { folder: flags.spool, maxBytes: flags.spoolSize * mebibyte },
          })
          parts.log.info({ agent, outgoing }, 'summary')
        },
        logTo,
      )
    })
