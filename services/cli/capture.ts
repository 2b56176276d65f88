import { hostname } from 'node:os'
import { Command, Option } from 'commander'
import type { MonitoredNetworks } from '#core/host-directory.ts'
import { InputError } from '#shared/errors.ts'
import { MAX_FRAME_BYTES } from '../capture/files/frame-columns.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { compressions, type HostFilesOptions } from '../capture/host-files/host-files.ts'
import { type CaptureServiceOptions, runCaptureService } from '../capture/main.ts'
import { parseNetworks } from '../capture/networks.ts'
import { NetworksFile } from '../capture/networks-file.ts'
import { openInterface } from '../capture/open-interface.ts'
import { PacedSource } from '../capture/paced-source.ts'
import { becomeUser } from './become-user.ts'
import { type DuplicateFlags, duplicateOption, duplicateWindowUs } from './duplicate-option.ts'
import { type HostKeysFlags, hostKeysOption, openHostKeys } from './host-keys-option.ts'
import { mebibyte, type ProducerFlags, producerOptions, runService, withSpool } from './run-service.ts'
import { wholeNumber } from './whole-number.ts'

interface CaptureFlags extends ProducerFlags, HostKeysFlags, DuplicateFlags {
  interface?: string
  filter: string
  file?: string
  realtime?: true
  sensor: string
  group?: number
  hardwareTimes?: true
  networks?: string[]
  networksFile?: string
  user?: string
  files?: string
  filesCompression: HostFilesOptions['compression']
  filesSnap: number
  filesSize: number
  filesAge?: number
}

/** How long an interface waits for the first host; a file waits until there is one. */
const hostsWaitMs = 5000

export const captureCommand = (): Command =>
  hostKeysOption(
    producerOptions(
      new Command('capture')
        .description('publishes the packets of the monitored hosts, from the mirror port or a capture file')
        .option('-i, --interface <name>', 'interface to capture on')
        .option('--filter <expression>', 'capture filter, as for tcpdump', '')
        .option(
          '--group <number>',
          'shares the interface with the captures of the same group, for more cores: each, a sensor of its own, has a part of the flows',
          wholeNumber(1, 65_535),
        )
        .option(
          '--hardware-times',
          "packet times are those of the network card, as exact as its clock, which must be kept in step with the system's (phc2sys)",
        )
        .option('--file <path>', 'a capture file instead, or - for standard input')
        .option('--realtime', 'read the file as fast as it was captured, not as fast as it goes')
        .option(
          '--sensor <id>',
          "names this capture, one of several on a machine; by default the machine's name",
          hostname(),
        )
        .option(
          '--networks <cidr...>',
          'monitors these networks too: an address that no host has announced is a host of its own, 4096 at most',
        )
        .option(
          '--networks-file <file>',
          'those that a file names as well, one a line, # begins a comment; read again every second, so they change without a restart',
        )
        .option('--user <name>', 'goes on as this user once the interface is open; spool and files must be its own')
        .addOption(duplicateOption('by default 10 of an interface, none of a file'))
        .option('--files <folder>', 'also writes a pcap file for each monitored host and minute, HOST/TIME.pcap')
        .addOption(
          new Option('--files-compression <format>', 'of finished capture files').choices(compressions).default('none'),
        )
        .option(
          '--files-snap <bytes>',
          'bytes that a capture file keeps of a frame at most',
          wholeNumber(1, MAX_FRAME_BYTES),
          MAX_FRAME_BYTES,
        )
        .option(
          '--files-size <MiB>',
          'size of the capture files at most, MiB: the oldest minutes make room',
          wholeNumber(16, 1_073_741_824),
          10_240,
        )
        .option('--files-age <hours>', 'deletes capture files that are older', wholeNumber(1, 87_600)),
    ),
  ).action((given: CaptureFlags) => {
    const flags = withSpool(given, `capture-${given.sensor}`)
    return runService('capture', flags, async parts => {
      const networks = networksOf(flags)
      const packets = await openPackets(flags)
      if (flags.user !== undefined) becomeUser(flags.user)
      const result = await runCaptureService({
        ...parts,
        ...packets,
        networks,
        hostKeys: openHostKeys(flags, parts.log),
        sensorId: flags.sensor,
        spool: { folder: flags.spool, maxBytes: flags.spoolSize * mebibyte },
        files: filesOf(flags),
        duplicateWindowUs: duplicateWindowUs(flags, flags.interface === undefined ? 0 : 10),
      })
      parts.log.info(result, 'summary')
    })
  })

function networksOf({ networks, networksFile }: CaptureFlags): MonitoredNetworks | NetworksFile | null {
  try {
    if (networksFile !== undefined) return new NetworksFile(networksFile, networks)
    return networks ? parseNetworks(networks) : null
  } catch (error) {
    throw new InputError('PROCLABEL_CONFIG', `networks: ${(error as Error).message}`, error)
  }
}

const filesOf = (flags: CaptureFlags): NonNullable<CaptureServiceOptions['files']> | null =>
  flags.files === undefined
    ? null
    : {
        folder: flags.files,
        compression: flags.filesCompression,
        snapLength: flags.filesSnap,
        maxBytes: flags.filesSize * mebibyte,
        maxAgeUs: flags.filesAge === undefined ? null : flags.filesAge * 3_600_000_000,
      }

async function openPackets({
  interface: device,
  filter,
  file,
  realtime,
  group,
  hardwareTimes,
}: CaptureFlags): Promise<Pick<CaptureServiceOptions, 'packets' | 'sourceName' | 'clockUs' | 'hostsWaitMs'>> {
  if ((device === undefined) === (file === undefined))
    throw new InputError('PROCLABEL_CONFIG', 'capture reads from --interface or from --file: give one of them')
  if (device !== undefined) {
    const packets = openInterface(device, filter, { group, hardwareTimes })
    return { packets, sourceName: device, clockUs: () => Date.now() * 1000, hostsWaitMs }
  }
  const source = await openCapture(file!)
  const endless = { sourceName: file!, hostsWaitMs: Number.POSITIVE_INFINITY }
  if (!realtime) return { ...endless, packets: source, clockUs: null }
  const paced = new PacedSource(source)
  return { ...endless, packets: paced, clockUs: () => paced.nowUs }
}
