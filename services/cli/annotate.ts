import process from 'node:process'
import { Command } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { captureFiles, mergeCaptures } from '../capture/files/merge-captures.ts'
import { isByHost } from '../capture/host-files/minute-files.ts'
import { annotate } from '../embedded/annotate.ts'
import { PacketLabels } from '../embedded/packet-labels.ts'
import { readBytes } from './read-json-lines.ts'
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
      const files = await captureFiles(captures)
      if (files.length === 0) throw new InputError('PROCLABEL_INPUT', `no capture in ${captures.join(', ')}`)
      const labels = new PacketLabels()
      try {
        process.exitCode = await annotateFiles(files, labels, flags)
      } finally {
        labels.close()
      }
    })

/** Answers with the exit code. */
async function annotateFiles(files: readonly string[], labels: PacketLabels, flags: AnnotateFlags): Promise<number> {
  for await (const bytes of readBytes(flags.sessions)) labels.read(bytes)
  const { sessions, bad } = labels.native.endFile()
  if (sessions === 0) throw new InputError('PROCLABEL_INPUT', `${flags.sessions} holds no labeled sessions`)
  const packets = await mergeCaptures(files)
  const { labeled, unlabeled, outside, copies } = await annotate(packets, labels, {
    pcapng: flags.pcapng ?? null,
    perProcess: flags.perProcess ?? null,
    cutPayload: flags.cutPayload === true,
    dropCopies: isByHost(files),
  })
  await packets.close()
  const { read, skipped } = packets.statistics()
  const lost = Object.values(skipped).reduce((a, b) => a + b, 0)
  const say = (line: string) => process.stderr.write(`${line}\n`)
  if (bad > 0) say(`proclabel: ${bad} lines of ${flags.sessions} are not labeled sessions and were left out`)
  const twice = copies === 0 ? '' : `, ${count(copies)} in the files of two hosts and written once`
  say(
    `packets ${count(read)}: ${count(labeled)} labeled, ${count(unlabeled)} of sessions without a label, ${count(outside)} of no session${twice}`,
  )
  say(`records ${read} read, ${lost} skipped`)
  return lost + bad > 0 ? exitCodes.damagedInput : exitCodes.done
}
