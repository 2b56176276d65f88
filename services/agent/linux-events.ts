import type { OpenedEvents } from './event-source.ts'
import { type NativeEventOptions, openNativeEvents } from './native-events.ts'

/** The best first. */
export const linuxMechanisms = ['ebpf', 'tracepoint'] as const

/** The kernel's own events by the best of `mechanisms` that this machine and these privileges allow. */
export const openLinuxEvents = (
  mechanisms: readonly string[] = linuxMechanisms,
  options?: NativeEventOptions,
): OpenedEvents => openNativeEvents(mechanisms, options)
