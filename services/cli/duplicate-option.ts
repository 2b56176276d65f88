import { Option } from 'commander'
import { wholeNumber } from './whole-number.ts'

export interface DuplicateFlags {
  duplicates?: number
}

/** The option of commands that read packets. */
export const duplicateOption = (byDefault: string): Option =>
  new Option(
    '--duplicates <ms>',
    `a packet that comes again within so many milliseconds is a copy, as a mirror of both directions makes them, and not counted; 0: there are none; ${byDefault}`,
  ).argParser(wholeNumber(0, 1000))

/** As in CaptureOptions. */
export const duplicateWindowUs = ({ duplicates }: DuplicateFlags, byDefaultMs: number): number | null => {
  const ms = duplicates ?? byDefaultMs
  return ms === 0 ? null : ms * 1000
}
