import assert from 'node:assert/strict'
import { inspect, isDeepStrictEqual } from 'node:util'
import { addressText } from '#core/address.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { loadNative } from '#native'
import type { Host, HostAddress, PacketBatch } from '#schemas'
import { Capture, type PacketCapture } from './capture.ts'
import { openCapture } from './files/open-capture.ts'
import type { FrameChunk } from './host-frames.ts'
import { NativeCapture } from './native-capture.ts'
import { parseNetworks } from './networks.ts'
import type { FrameBlock } from './packet-source.ts'

/** Who is monitored: nobody (a bare capture), or hosts found in the capture, of which some change on the way. */
export type Monitored = 'bare' | 'hosts' | 'hosts-only'
export const monitoredKinds: readonly Monitored[] = ['bare', 'hosts', 'hosts-only']

const addressBytes = 16

/** Where many captures have addresses of which the hosts of a test are none. */
const networks = parseNetworks(['192.168.0.0/17', '10.0.0.0/9', 'fe80::/10'])

/** Both captures over the same blocks, each with a directory of its own; every answer is compared. */
export class Twins {
  readonly #directories: (HostDirectory | null)[]
  readonly #portable: Capture
  readonly #native: NativeCapture

  constructor(monitored: Monitored, duplicateWindowUs: number | null = null) {
    const open = <T>(create: (options: ConstructorParameters<typeof Capture>[0]) => T, hosts: HostDirectory | null) =>
      create({
        sensorId: 'sensor',
        runId: 'run',
        hosts,
        keepUnmonitored: monitored === 'hosts',
        snapLength: 96,
        duplicateWindowUs,
      })
    this.#directories = monitored === 'bare' ? [null, null] : [new HostDirectory(networks), new HostDirectory(networks)]
    this.#portable = open(options => new Capture(options), this.#directories[0]!)
    this.#native = open(options => new NativeCapture(loadNative(), options), this.#directories[1]!)
  }

  learn(host: Host): void {
    for (const directory of this.#directories) directory?.apply(host)
  }

  run(what: (capture: PacketCapture) => PacketBatch[]): PacketBatch[] {
    const expected = what(this.#portable)
    const actual = what(this.#native)
    // Not deepEqual, which would take minutes to draw the difference of two large batches.
    if (!isDeepStrictEqual(actual, expected)) assert.fail(firstDifference(actual, expected))
    assert.equal(this.#native.nowUs, this.#portable.nowUs)
    const [chunks, chunksExpected] = [this.#native.takeFrames(), this.#portable.takeFrames()].map(framesByHost)
    if (!isDeepStrictEqual(chunks, chunksExpected)) assert.fail('the frames of hosts differ')
    return expected
  }

  end(): void {
    this.run(capture => capture.flush())
    const laterUs = (this.#portable.nowUs ?? 0) + 5_000_000
    this.run(capture => capture.tick(laterUs))
    assert.deepEqual(this.#native.frames, this.#portable.frames)
    assert.deepEqual(this.#native.unsupportedLinkTypes, this.#portable.unsupportedLinkTypes)
  }
}

/** Each host's chunks in their order; between hosts there is none. */
const framesByHost = (chunks: readonly FrameChunk[]) => Map.groupBy(chunks, ({ hostId }) => hostId)

/**
 * Reads a capture file in blocks of at most `frames` frames through both captures, and compares every batch. Throws what the
 * file's reader throws.
 */
export async function compareCaptures(path: string, monitored: Monitored, frames: number): Promise<void> {
  // Hosts alone are monitored on a mirror port, where packets come twice.
  const twins = new Twins(monitored, monitored === 'hosts-only' ? 10_000 : null)
  const hosts = monitored === 'bare' ? [] : hostsOf(await addressesIn(path))
  const source = await openCapture(path)
  try {
    for await (const whole of source.blocks())
      for (let first = 0; first < whole.count; first += frames) {
        const block = partOf(whole, first, Math.min(frames, whole.count - first))
        for (const host of hosts.splice(0, hostsAtOnce)) twins.learn(host)
        twins.run(capture => capture.add(block))
      }
    twins.end()
  } finally {
    await source.close()
  }
}

/** Which field of which batch differs, and how it begins on both sides. */
function firstDifference(actual: readonly PacketBatch[], expected: readonly PacketBatch[]): string {
  for (let i = 0; i < Math.min(actual.length, expected.length); i++)
    for (const field of Object.keys(expected[i]!) as (keyof PacketBatch)[]) {
      const [is, was] = [actual[i]![field], expected[i]![field]]
      const { host_id, seq } = expected[i]!
      if (!isDeepStrictEqual(is, was))
        return `${field} of batch '${host_id}' ${seq}: ${inspect(is)} for ${inspect(was)}`
    }
  return `${actual.length} batches for ${expected.length}`
}

const hostsAtOnce = 2

/** Hosts with the first addresses: some had them before or since the middle, one address is two hosts' for a while. */
function hostsOf({ addresses: [first, second, third, fourth], middleUs }: Seen): Host[] {
  const host = (host_id: string, ...addresses: (HostAddress | null)[]): Host => ({
    host_id,
    names: [],
    addresses: addresses.filter(address => address !== null),
    os: 'linux',
    agent_version: 'test',
    poll_period_us: null,
    boot_id: null,
    updated_us: 0,
  })
  const address = (ip: string | undefined, since_us: number | null = null, until_us: number | null = null) =>
    ip === undefined ? null : { ip, since_us, until_us, namespace: null }
  return [
    host('one', address(first), address(fourth, middleUs)),
    host('two', address(second, null, middleUs)),
    host('three', address(third), address(second, middleUs)),
    host('four', address(fourth, middleUs), address('0:0::1')),
    host('two', address(second, null, middleUs), address(third, middleUs)),
  ]
}

interface Seen {
  addresses: string[]
  middleUs: number
}

/** The addresses in the order in which flows show them, and the middle of the capture's time. */
async function addressesIn(path: string): Promise<Seen> {
  const capture = new Capture({ sensorId: 'sensor', runId: 'run', hosts: null, keepUnmonitored: true })
  const source = await openCapture(path)
  const batches: PacketBatch[] = []
  try {
    for await (const block of source.blocks()) batches.push(...capture.add(block))
  } finally {
    await source.close()
  }
  batches.push(...capture.flush())
  const addresses = new Set<string>()
  for (const { flow_address } of batches)
    for (let at = 0; at < flow_address.length; at += addressBytes) addresses.add(addressText(flow_address, at))
  return { addresses: [...addresses], middleUs: ((batches[0]?.base_us ?? 0) + (capture.nowUs ?? 0)) / 2 }
}

function partOf(block: FrameBlock, first: number, count: number): FrameBlock {
  const end = first + count
  return {
    count,
    data: block.data,
    offset: block.offset.subarray(first, end),
    captured: block.captured.subarray(first, end),
    wireLength: block.wireLength.subarray(first, end),
    timeUs: block.timeUs.subarray(first, end),
    linkType: block.linkType.subarray(first, end),
  }
}
