import { addressText } from '#core/address.ts'
import { loadNative, type NativePolls, type NativeProcess, type NativeSockets } from '#native'
import type { Process, ProcessRef, Socket, SocketProtocol, SocketState } from '#schemas'
import { ProclabelError } from '#shared/errors.ts'
import { containerImage } from './container-image.ts'
import type { PolledReading, SocketReading, SocketSource } from './socket-source.ts'

const PROTOCOLS: readonly SocketProtocol[] = ['tcp', 'udp']

/** In the order of the schema's enum, which the addon's numbers follow. */
const STATES: readonly SocketState[] = [
  'listen',
  'syn_sent',
  'syn_received',
  'established',
  'fin_wait_1',
  'fin_wait_2',
  'close_wait',
  'closing',
  'last_ack',
  'time_wait',
  'closed',
  'bound',
]

const HAS_REMOTE = 1
const V6_ONLY = 2

export interface NativeSource extends SocketSource {
  /** One reading now, of the whole table; not once it is started. Throws ProclabelError. */
  poll: () => SocketReading
}

/** The addon's source of the system this runs on, in our records. Throws ProclabelError. */
export function openNativeSource(os: string, allNamespaces = false, restriction: string | null = null): NativeSource {
  const native = guard(() => loadNative().openSocketSource(allNamespaces))
  return {
    os,
    restriction: [restriction, native.restriction()].filter(Boolean).join('; ') || null,
    poll: () => toReadings(guard(() => native.poll()))[0]!,
    start: periodMs => {
      native.start(Math.round(periodMs * 1000))
      return {
        pace: periods => native.pace(periods),
        take: () => {
          const polls = guard(() => native.take())
          return { readings: toReadings(polls), missed: polls.missed }
        },
      }
    },
    addresses: () => {
      const addresses = guard(native.addresses.bind(native))
      if (addresses === null) return []
      return Array.from(addresses.namespaceInode, (namespace, i) => ({
        ip: addressText(addresses.address, i * 16),
        namespace,
      }))
    },
    close: () => native.close(),
  }
}

/** The addon's errors as ours. */
export function guard<T>(call: () => T): T {
  try {
    return call()
  } catch (cause) {
    throw new ProclabelError('PROCLABEL_SOCKETS', (cause as Error).message, { cause })
  }
}

function toReadings({ times, openedEnd, opened, closedEnd, closed }: NativePolls): PolledReading[] {
  const processes = opened.processes.map(toProcess)
  const sockets = toSockets(opened, processes)
  return Array.from(openedEnd, (end, i) => {
    const begin = openedEnd[i - 1] ?? 0
    const owners = opened.owner.subarray(opened.ownerEnd[begin - 1] ?? 0, opened.ownerEnd[end - 1] ?? 0)
    return {
      timeUs: times[i * 4]!,
      monotonicUs: times[i * 4 + 1]!,
      durationUs: times[i * 4 + 2]!,
      cpuUs: times[i * 4 + 3]!,
      opened: sockets.slice(begin, end),
      closed: Array.from(closed.subarray(closedEnd[i - 1] ?? 0, closedEnd[i])),
      processes: Array.from(new Set(owners), place => processes[place]!),
    }
  })
}

function toSockets(columns: NativeSockets, processes: readonly Process[]): Socket[] {
  const sockets: Socket[] = []
  let ownerBegin = 0
  for (let i = 0; i < columns.count; i++) {
    const ownerEnd = columns.ownerEnd[i]!
    const owners: ProcessRef[] = []
    for (let j = ownerBegin; j < ownerEnd; j++) {
      const { pid, start_us } = processes[columns.owner[j]!]!
      owners.push({ pid, start_us })
    }
    ownerBegin = ownerEnd
    const flags = columns.flags[i]!
    const hasRemote = (flags & HAS_REMOTE) !== 0
    sockets.push({
      id: columns.id[i]!,
      proto: PROTOCOLS[columns.protocol[i]!]!,
      local_ip: addressText(columns.address, i * 32),
      local_port: columns.port[i * 2]!,
      remote_ip: hasRemote ? addressText(columns.address, i * 32 + 16) : null,
      remote_port: hasRemote ? columns.port[i * 2 + 1]! : null,
      state: STATES[columns.state[i]!]!,
      v6_only: (flags & V6_ONLY) !== 0,
      owners,
      created_us: columns.createdUs[i]! || null,
    })
  }
  return sockets
}

export function toProcess(native: NativeProcess): Process {
  return {
    pid: native.pid,
    start_us: native.startUs,
    name: native.name,
    path: native.path,
    parent_pid: native.parentPid,
    services: native.services,
    container_id: native.containerId,
    user: native.user,
    pod: native.pod,
    parent_name: native.parentName,
    container_image: native.containerId && containerImage(native.containerId),
  }
}
