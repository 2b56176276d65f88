import { readlinkSync } from 'node:fs'
import { type NativeSource, openNativeSource } from './native-source.ts'

/**
 * The sockets of this process's network namespace, through NETLINK_SOCK_DIAG and /proc, or those of all that processes are in:
 * containers. Throws ProclabelError.
 */
export const openLinuxSource = (allNamespaces = false): NativeSource =>
  openNativeSource('linux', allNamespaces, findRestriction())

function findRestriction(): string | null {
  try {
    // Root alone is not enough: a container has it without the right to look at others.
    readlinkSync('/proc/1/exe')
    return null
  } catch {
    return 'only the sockets of your own processes get an owner; run as root (or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH) to see all'
  }
}
