import process from 'node:process'
import { Command } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { captureFiles, mergeCaptures } from '../capture/files/merge-captures.ts'
import { annotate } from '../embedded/annotate.ts'
import { PacketLabels } from '../embedded/packet-labels.ts'
import { readSessions } from './read-json-lines.ts'
import { count } from './text-table.ts'

interface AnnotateFlags {
  sessions: string
  pcapng?: string
  perProcess?: string
  cutPayload?: true
}

export const annotateCommand = (): Command =>
  new Command('annotate')
    .description('writes the packets of captures again, each with its process, pid and stage as a comment')
    .argument('<capture...>', 'what the sessions were labeled from: pcap or pcapng files, or folders of them')
    .requiredOption('--sessions <file>', 'labeled sessions as JSON lines; - for standard input')
    .option('--pcapng <file>', 'all packets, for Wireshark')
    .option('--per-process <folder>', 'a pcapng for each process; made when it is not there')
    .option('--cut-payload', 'packets end behind their TCP or UDP header')
    .action(async (captures: string[], flags: AnnotateFlags) => {
      if (flags.pcapng === undefined && flags.perProcess === undefined)
        throw new InputError('PROCLABEL_CONFIG', 'give --pcapng, --per-process or both: where the packets go')
      const labels = new PacketLabels()
      let bad = 0
      for await (const session of readSessions(flags.sessions)) {
        if (session === null) bad++
        else labels.add(session)
      }
      if (labels.size === 0) throw new InputError('PROCLABEL_INPUT', `${flags.sessions} holds no labeled sessions`)
      const files = await captureFiles(captures)
      if (files.length === 0) throw new InputError('PROCLABEL_INPUT', `no capture in ${captures.join(', ')}`)
      const packets = await mergeCaptures(files)
      const { frames, labeled, unlabeled, outside } = await annotate(packets, labels, {
        pcapng: flags.pcapng ?? null,
        perProcess: flags.perProcess ?? null,
        cutPayload: flags.cutPayload === true,
      })
      await packets.close()
      const { read, skipped } = packets.statistics()
      const lost = Object.values(skipped).reduce((a, b) => a + b, 0)
      const say = (line: string) => process.stderr.write(`${line}\n`)
      if (bad > 0) say(`proclabel: ${bad} lines of ${flags.sessions} are not labeled sessions and were left out`)
      say(
        `packets ${count(frames)}: ${count(labeled)} labeled, ${count(unlabeled)} of sessions without a label, ${count(outside)} of no session`,
      )
      say(`records ${read} read, ${lost} skipped`)
      process.exitCode = lost + bad > 0 ? exitCodes.damagedInput : exitCodes.done
    })
