import { InputError, ProclabelError } from './errors.ts'

/** Exit status of the command; `proclabel --help` and the README list the same. */
export const exitCodes = Object.freeze({
  done: 0,
  fault: 1,
  wrongUse: 2,
  damagedInput: 3,
  unfitInputs: 4,
  brokenWorld: 5,
})

/** The status with which an error ends the process. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof InputError) return exitCodes.wrongUse
  return error instanceof ProclabelError ? exitCodes.brokenWorld : exitCodes.fault
}
