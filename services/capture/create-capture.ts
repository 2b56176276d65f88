import { loadNativeIfBuilt } from '#native'
import { Capture, type CaptureOptions, type PacketCapture } from './capture.ts'
import { NativeCapture } from './native-capture.ts'

/** The native capture where the addon is there, else the portable one: the same batches, for several times the CPU. */
export function createCapture(options: CaptureOptions): PacketCapture {
  const addon = loadNativeIfBuilt()
  return addon === null ? new Capture(options) : new NativeCapture(addon, options)
}
