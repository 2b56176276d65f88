import { Command } from 'commander'
import { captureFiles, mergeCaptures } from '../capture/files/merge-captures.ts'
import { replayRecording } from '../embedded/replay.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { clientOptions, runService, type ServiceFlags } from './run-service.ts'

interface ReplayFlags extends ServiceFlags {
  sockets: string[]
  sensor: string
}

export const replayCommand = (): Command =>
  clientOptions(new Command('replay'))
    .description('publishes a recording as agent and capture would have, as fast as it goes')
    .argument('<capture...>', 'pcap or pcapng files, plain or gzip; folders of them')
    .requiredOption('--sockets <log...>', 'socket logs of `proclabel record`, or other logs that label takes')
    .option('--sensor <id>', 'names the capture', 'replay')
    .action(async (captures: string[], flags: ReplayFlags) => {
      const logs = await openSocketLogs(flags.sockets, null)
      const packets = await mergeCaptures(await captureFiles(captures))
      await runService('replay', flags, async ({ bus, codecs, log, health, signal }) => {
        health.component('replay').ready()
        const published = await replayRecording({ bus, packets, logs, sensorId: flags.sensor, codecs, signal })
        await packets.close()
        log.info({ published }, 'replayed')
      })
    })
