import { Option } from 'commander'
import type { OpenedEvents } from '../agent/event-source.ts'
import { linuxMechanisms, openLinuxEvents } from '../agent/linux-events.ts'

export interface EventsFlags {
  events: string
}

/** Which kernel events an agent uses beside its polls. */
export const eventsOption = (): Option =>
  new Option('--events <mechanism>', 'kernel events beside polls: the best that there is, a certain one, or none')
    .choices(['best', ...linuxMechanisms, 'none'])
    .default('best')

export const openEvents = ({ events }: EventsFlags): OpenedEvents =>
  openLinuxEvents(events === 'best' ? linuxMechanisms : events === 'none' ? [] : [events])
