import { addressText } from '#core/address.ts'
import { loadNative, type NativeEvents } from '#native'
import type { EventKind, Process, SocketEvent } from '#schemas'
import type { EventReading, EventSource, OpenedEvents } from './event-source.ts'
import { guard, toProcess } from './native-source.ts'

/** In the order of the schema's enum, which the addon's numbers follow. */
const KINDS: readonly EventKind[] = [
  'connect',
  'accept',
  'listen',
  'close',
  'send',
  'receive',
  'process_start',
  'process_exit',
]

const HAS_REMOTE = 1
const UDP = 2

/** Room for some 40,000 events that were not yet read: two seconds of a very busy host. */
const DEFAULT_BUFFER_BYTES = 8 * 1024 * 1024

export interface NativeEventOptions {
  bufferBytes?: number | undefined
  /** As of openLinuxSource; the host's own when not given. */
  allNamespaces?: boolean | undefined
}

/** The kernel's own events by the first of `mechanisms` that this machine and these privileges allow. */
export function openNativeEvents(mechanisms: readonly string[], options: NativeEventOptions = {}): OpenedEvents {
  const refusals: string[] = []
  for (const mechanism of mechanisms) {
    try {
      return { source: openMechanism(mechanism, options), refusals }
    } catch (error) {
      refusals.push(`${mechanism}: ${(error as Error).message}`)
    }
  }
  return { source: null, refusals }
}

function openMechanism(
  mechanism: string,
  { bufferBytes = DEFAULT_BUFFER_BYTES, allNamespaces = false }: NativeEventOptions,
): EventSource {
  const native = guard(() => loadNative().openEventSource(mechanism, bufferBytes, allNamespaces))
  return {
    mechanism,
    complete: native.complete(),
    read: () => {
      const { untilUs, lost, events } = guard(native.read.bind(native))
      return { untilUs, lost, ...(events === null ? { events: [], processes: [] } : toEvents(events)) }
    },
    forget: () => native.forget(),
    close: () => native.close(),
  }
}

function toEvents(columns: NativeEvents): Pick<EventReading, 'events' | 'processes'> {
  const dictionary = columns.processes.map(toProcess)
  const processes: (Process | null)[] = []
  const events: SocketEvent[] = []
  for (let i = 0; i < columns.count; i++) {
    const process = dictionary[columns.process[i]!] ?? null
    processes.push(process)
    const kind = KINDS[columns.kind[i]!]!
    const flags = columns.flags[i]!
    const isOfSocket = kind !== 'process_start' && kind !== 'process_exit'
    const hasRemote = isOfSocket && (flags & HAS_REMOTE) !== 0
    events.push({
      kind,
      time_us: columns.timeUs[i]!,
      resolution_us: 0,
      pid: process?.pid ?? 0,
      start_us: process?.start_us ?? null,
      proto: isOfSocket ? ((flags & UDP) !== 0 ? 'udp' : 'tcp') : null,
      local_ip: isOfSocket ? addressText(columns.address, i * 32) : null,
      local_port: isOfSocket ? columns.port[i * 2]! : null,
      remote_ip: hasRemote ? addressText(columns.address, i * 32 + 16) : null,
      remote_port: hasRemote ? columns.port[i * 2 + 1]! : null,
    })
  }
  return { events, processes }
}
