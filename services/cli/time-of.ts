import { InvalidArgumentError } from 'commander'

/** Parses a time in ISO 8601 as microseconds since the epoch, of which it may have all six digits. */
export function timeOf(text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new InvalidArgumentError('expected a time such as 2026-11-25T17:00:00Z.')
  const digits = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? ''
  return Math.floor(ms) * 1000 + Number(digits.padEnd(3, '0'))
}
