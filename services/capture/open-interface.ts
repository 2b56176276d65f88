import { readdirSync } from 'node:fs'
import process from 'node:process'
import { loadNative, NativeLoadError } from '#native'
import { InputError } from '#shared/errors.ts'
import { openInterface as openCap } from './cap-source.ts'
import type { PacketSource } from './packet-source.ts'
import { openRing } from './ring-source.ts'

/**
 * Live frames of an interface: on Linux from the kernel's ring, elsewhere, without the addon, and for link layers that it does
 * not know, through `cap`. The filter is in the language of pcap-filter(7), empty for none. Throws InputError for an
 * interface that is not there or must not be read, and for a filter that is none. Of those who give the same `group` (Linux), 1
 * to 65,535, each has a part of the flows.
 */
export function openInterface(device: string, filter: string, group = 0): PacketSource {
  const openPortable = () => {
    if (group === 0) return openCap(device, filter)
    throw new InputError(
      'PROCLABEL_INTERFACE',
      `'${device}' cannot be shared by a group: that needs Linux and the native addon`,
    )
  }
  if (process.platform !== 'linux') return openPortable()
  try {
    return openRing(loadNative(), device, filter, group)
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (error instanceof NativeLoadError || code === 'LINK') return openPortable()
    throw new InputError('PROCLABEL_INTERFACE', problem(device, code, message), error)
  }
}

function problem(device: string, code: string | undefined, message: string): string {
  if (code === 'EPERM') return `cannot capture on '${device}': no permission: run as root or with CAP_NET_RAW`
  if (code !== 'ENODEV') return `cannot capture on '${device}': ${message}`
  const found = readdirSync('/sys/class/net').sort().join(', ')
  return `there is no interface '${device}' to capture on; interfaces: ${found}`
}
