import { InvalidArgumentError } from 'commander'

/** Parses an option's value as a whole number within bounds; says what was expected otherwise. */
export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}.`)
    return value
  }
