import process from 'node:process'
import { Option } from 'commander'
import type { OpenedEvents } from '../agent/event-source.ts'
import { eventMechanisms, openEvents as openSystemEvents } from '../agent/this-system.ts'

export interface EventsFlags {
  events: string
}

/** Which kernel events an agent uses beside its polls. Those of Windows are asked for: they have not run on a real one yet. */
export const eventsOption = (): Option =>
  new Option('--events <mechanism>', 'kernel events beside polls: the best that there is, a certain one, or none')
    .choices(['best', ...eventMechanisms, 'none'])
    .default(process.platform === 'win32' ? 'none' : 'best')

export const openEvents = ({ events }: EventsFlags): OpenedEvents =>
  openSystemEvents(events === 'best' ? eventMechanisms : events === 'none' ? [] : [events])
