import process from 'node:process'
import { type Command, Option } from 'commander'
import type { OpenedEvents } from '../agent/event-source.ts'
import type { SocketSource } from '../agent/socket-source.ts'
import { eventMechanisms, openEvents, openSocketSource } from '../agent/this-system.ts'

export interface SourceFlags {
  events: string
  namespaces: 'all' | 'own'
}

/** Where an agent's sockets and kernel events come from. Those of Windows are asked for: they have not run on a real one yet. */
export const sourceOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--events <mechanism>', 'kernel events beside polls: the best that there is, a certain one, or none')
        .choices(['best', ...eventMechanisms, 'none'])
        .default(process.platform === 'win32' ? 'none' : 'best'),
    )
    .addOption(
      new Option(
        '--namespaces <which>',
        "Linux: sockets of all network namespaces, that is of containers too, or of the agent's own",
      )
        .choices(['all', 'own'])
        .default('all'),
    )

/** Throws ProclabelError where the sockets cannot be read. */
export function openSources({ events, namespaces }: SourceFlags): { source: SocketSource; events: OpenedEvents } {
  const allNamespaces = namespaces === 'all'
  const mechanisms = events === 'best' ? eventMechanisms : events === 'none' ? [] : [events]
  return { source: openSocketSource(allNamespaces), events: openEvents(mechanisms, { allNamespaces }) }
}
