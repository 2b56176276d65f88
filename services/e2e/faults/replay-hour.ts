import { codecs, type PacketBatch, partitionKey, type SocketSnapshot, type Topic } from '#schemas'
import { type RecordedInput, recordedInputs } from '../../embedded/recording-fixture.ts'
import { silenceAfter } from './recorded-hosts.ts'

export interface TimedInput extends RecordedInput {
  timeUs: number
}

export interface HourOptions {
  hosts: number
  /** How often each host goes through the recording, spread over the hour. */
  rounds: number
}

const hourUs = 3_600_000_000
const firstEphemeralPort = 32_768
const ephemeralPorts = 65_536 - firstEphemeralPort
/** Odd, so that each round has other ports. */
const portStep = 977

/**
 * An hour of several hosts, made of the bundled recording: each goes through it again and again, from other ports, and none at
 * the moment when another does. In order of event time, with a long silence at the end.
 */
export async function recordedHour({ hosts, rounds }: HourOptions): Promise<TimedInput[]> {
  const recorded = (await recordedInputs()).inputs.filter(({ topic }) => topic !== 'hosts')
  const [host] = (await recordedInputs()).inputs.filter(({ topic }) => topic === 'hosts')
  const inputs: TimedInput[] = []
  for (let i = 0; i < hosts; i++) {
    const told = new Teller(`host-${i}`)
    const add = (topic: Topic, { timeUs, value }: { timeUs: number; value: Buffer }) =>
      inputs.push({ topic, key: partitionKey(told.hostId), timeUs, value })
    const shiftOf = (round: number) => Math.round((hourUs / rounds) * (round + i / hosts))
    add('hosts', told.host(host!.value, shiftOf(0)))
    for (let round = 0; round < rounds; round++)
      for (const { topic, value } of recorded) {
        const tell = topic === 'packets' ? told.packets : told.snapshot
        add(topic, tell(value, round, shiftOf(round)))
      }
    add('packets', told.silence())
  }
  return inputs.sort((a, b) => a.timeUs - b.timeUs)
}

/** The recording told again by a host of another name. */
class Teller {
  readonly hostId: string
  #batches = 0
  #messages = 0
  #polls = 0
  #last: PacketBatch | null = null

  constructor(hostId: string) {
    this.hostId = hostId
  }

  host(value: Buffer, shiftUs: number) {
    const host = codecs.hosts.decode(value)
    const timeUs = host.updated_us + shiftUs
    return { timeUs, value: codecs.hosts.encode({ ...host, host_id: this.hostId, updated_us: timeUs }) }
  }

  readonly packets = (value: Buffer, round: number, shiftUs: number) => {
    const batch = codecs.packets.decode(value)
    const timeUs = batch.until_us + shiftUs
    const moved = { host_id: this.hostId, seq: this.#batches++, base_us: batch.base_us + shiftUs, until_us: timeUs }
    const ports = new Uint16Array(Uint8Array.from(batch.flow_port).buffer)
    for (let flow = 0; flow < ports.length; flow += 2) ports[flow] = portOf(ports[flow]!, round)
    this.#last = { ...batch, ...moved, flow_port: Buffer.from(ports.buffer) }
    return { timeUs, value: codecs.packets.encode(this.#last) }
  }

  readonly snapshot = (value: Buffer, round: number, shiftUs: number) => {
    const message = codecs['socket-snapshots'].decode(value)
    const polls = message.polls.map(poll => ({
      ...poll,
      poll_seq: this.#polls++,
      time_us: poll.time_us + shiftUs,
      monotonic_us: poll.monotonic_us + shiftUs,
      opened: poll.opened.map(socket => ({ ...socket, local_port: portOf(socket.local_port, round) })),
    }))
    const moved: SocketSnapshot = { ...message, host_id: this.hostId, seq: this.#messages++, polls }
    return { timeUs: polls.at(-1)!.time_us, value: codecs['socket-snapshots'].encode(moved) }
  }

  /** After all that was told. */
  silence() {
    const batch = silenceAfter(this.#last!)
    return { timeUs: batch.until_us, value: codecs.packets.encode(batch) }
  }
}

/** A client's port, in another round; a server keeps its own. */
function portOf(port: number, round: number): number {
  if (port < firstEphemeralPort) return port
  return firstEphemeralPort + ((port - firstEphemeralPort + round * portStep) % ephemeralPorts)
}
