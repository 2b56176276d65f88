/** Exit status of the command; `proclabel --help` and the README list the same. */
export const exitCodes = Object.freeze({
  done: 0,
  wrongUse: 2,
  damagedInput: 3,
  unfitInputs: 4,
  brokenWorld: 5,
})
