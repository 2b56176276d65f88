import { type Command, Option } from 'commander'
import type { OpenedEvents } from '../agent/event-source.ts'
import type { SocketSource } from '../agent/socket-source.ts'
import { eventMechanisms, openEvents, openSocketSource } from '../agent/this-system.ts'

export interface SourceFlags {
  events: string
  namespaces: 'all' | 'own'
}

/** Where an agent's sockets and kernel events come from. */
export const sourceOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--events <mechanism>', 'kernel events beside polls: the best that there is, a certain one, or none')
        .choices(['best', ...eventMechanisms, 'none'])
        .default('best'),
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
export async function openSources({
  events,
  namespaces,
}: SourceFlags): Promise<{ source: SocketSource; events: OpenedEvents }> {
  const allNamespaces = namespaces === 'all'
  const mechanisms = events === 'best' ? eventMechanisms : events === 'none' ? [] : [events]
  return { source: openSocketSource(allNamespaces), events: await openEvents(mechanisms, { allNamespaces }) }
}
