import { loadNative, NativeLoadError } from '#native'
import { Capture, type CaptureOptions, type PacketCapture } from './capture.ts'
import { NativeCapture } from './native-capture.ts'

/** The native capture where the addon is there, else the portable one: the same batches, for several times the CPU. */
export function createCapture(options: CaptureOptions): PacketCapture {
  try {
    return new NativeCapture(loadNative(), options)
  } catch (error) {
    if (error instanceof NativeLoadError) return new Capture(options)
    throw error
  }
}
