import type { OpenedEvents } from './event-source.ts'
import { openNativeEvents } from './native-events.ts'
import { type NativeSource, openNativeSource } from './native-source.ts'

/** The sockets of this Windows machine, through GetExtendedTcpTable and GetExtendedUdpTable. Throws ProclabelError. */
export const openWindowsSource = (): NativeSource => openNativeSource('windows')

export const windowsMechanisms = ['etw'] as const

/** Kernel events of this Windows machine: a real-time ETW session. Needs an administrator, a service account, or the group Performance Log Users. */
export const openWindowsEvents = (mechanisms: readonly string[] = windowsMechanisms): OpenedEvents =>
  openNativeEvents(mechanisms)
