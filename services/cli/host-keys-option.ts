import type { Command } from 'commander'
import { HostKeys } from '#shared/bus/host-keys.ts'
import type { Log } from '#shared/log.ts'

export interface HostKeysFlags {
  hostKeys?: string
}

/** The option of those who read what agents write. */
export const hostKeysOption = (command: Command): Command =>
  command.option('--host-keys <file>', 'lines HOST KEY; records that their host did not sign are refused')

/** The keys, where the option gives them. Throws PROCLABEL_CONFIG for a file that cannot be used. */
export const openHostKeys = ({ hostKeys }: HostKeysFlags, log: Log): HostKeys | undefined =>
  hostKeys === undefined ? undefined : new HostKeys(hostKeys, log)
