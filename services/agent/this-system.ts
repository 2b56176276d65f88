import process from 'node:process'
import type { OpenedEvents } from './event-source.ts'
import { openLinuxSource } from './linux.ts'
import { linuxMechanisms, openLinuxEvents } from './linux-events.ts'
import { provenEvents } from './proven-events.ts'
import type { SocketSource } from './socket-source.ts'
import { openWindowsEvents, openWindowsSource, windowsMechanisms } from './windows.ts'

const isWindows = process.platform === 'win32'

/** The sockets of the machine this runs on; `allNamespaces` as of openLinuxSource. Throws ProclabelError. */
export const openSocketSource: (allNamespaces: boolean) => SocketSource = isWindows
  ? openWindowsSource
  : openLinuxSource

/** Ways to kernel events on this system, the best first. */
export const eventMechanisms: readonly string[] = isWindows ? windowsMechanisms : linuxMechanisms

/** Kernel events by the first of these mechanisms that the machine and the user's rights allow. */
export const openEvents: (
  mechanisms: readonly string[],
  options: { allNamespaces: boolean },
) => Promise<OpenedEvents> | OpenedEvents = isWindows
  ? mechanisms => provenEvents(openWindowsEvents(mechanisms))
  : openLinuxEvents
