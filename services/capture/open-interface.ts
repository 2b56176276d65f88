import { readdirSync } from 'node:fs'
import process from 'node:process'
import { loadNative, NativeLoadError } from '#native'
import { InputError } from '#shared/errors.ts'
import { openInterface as openCap } from './cap-source.ts'
import type { PacketSource } from './packet-source.ts'
import { openRing, type RingOptions } from './ring-source.ts'

/**
 * Live frames of an interface: on Linux from the kernel's ring, elsewhere, without the addon, and for link layers that it does
 * not know, through `cap`. The filter is in the language of pcap-filter(7), empty for none. Throws InputError for an
 * interface that is not there or must not be read, and for a filter that is none.
 */
export function openInterface(device: string, filter: string, options: RingOptions = {}): PacketSource {
  const openPortable = () => {
    if (!options.group && !options.hardwareTimes) return openCap(device, filter)
    const what = options.group ? 'be shared by a group' : "give the card's time stamps"
    throw new InputError('PROCLABEL_INTERFACE', `'${device}' cannot ${what}: that needs Linux and the native addon`)
  }
  if (process.platform !== 'linux') return openPortable()
  try {
    return openRing(loadNative(), device, filter, options)
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
