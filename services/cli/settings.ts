import { readFileSync } from 'node:fs'
import process from 'node:process'
import type { Command, Option } from 'commander'
import { InputError } from '#shared/errors.ts'

/** The environment variable of an option: `--poll-period` is PROCLABEL_POLL_PERIOD. */
export const variableOf = (option: Option): string => `PROCLABEL_${option.name().replaceAll('-', '_').toUpperCase()}`

/**
 * Lets every option of the commands be set by flag, by environment variable (lists with commas), or in a JSON file of
 * option names and values given with `--config`; the first of these that sets it counts.
 */
export function addSettings(program: Command): void {
  program.option('--config <file>', 'options as a JSON object, names as on the command line; before the command')
  const commands = withCommandsOf(program.commands)
  program.on('option:config', (file: string) => applyFile(commands, file))
  applyEnvironment(commands)
}

const withCommandsOf = (commands: readonly Command[]): Command[] =>
  commands.flatMap(command => [command, ...withCommandsOf(command.commands)])

/** Throws one InputError that names every variable whose value its option does not take. */
function applyEnvironment(commands: readonly Command[]): void {
  const problems = new Set<string>()
  for (const command of commands) {
    for (const option of command.options) {
      const variable = variableOf(option)
      option.env(variable)
      const text = process.env[variable]
      if (text === undefined) continue
      const value = option.isBoolean() ? { true: true, false: false }[text] : option.variadic ? text.split(',') : text
      const problem = setOption(command, option, value ?? text, 'env')
      if (problem) problems.add(`${variable}: ${problem}`)
    }
  }
  if (problems.size > 0) throw new InputError('PROCLABEL_CONFIG', [...problems].join('; '))
}

/** Throws one InputError that names every setting that no command has, or that its option does not take. */
function applyFile(commands: readonly Command[], file: string): void {
  const problems = new Set<string>()
  for (const [name, value] of Object.entries(readSettings(file))) {
    const takers = commands.filter(command => command.options.some(option => option.name() === name))
    if (takers.length === 0) problems.add(`no command has the option '${name}'`)
    for (const command of takers) {
      const option = command.options.find(known => known.name() === name)!
      if (command.getOptionValueSource(option.attributeName()) === 'env') continue
      const problem = setOption(command, option, value, 'config')
      if (problem) problems.add(`${name}: ${problem}`)
    }
  }
  if (problems.size > 0) throw new InputError('PROCLABEL_CONFIG', `${file}: ${[...problems].join('; ')}`)
}

/** Sets an option to a value as its own parser makes it; answers with what is wrong with the value, null if nothing is. */
function setOption(command: Command, option: Option, value: unknown, source: 'env' | 'config'): string | null {
  try {
    command.setOptionValueWithSource(option.attributeName(), convert(option, value), source)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

function readSettings(file: string): Record<string, unknown> {
  try {
    const settings = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) throw new Error('not an object')
    return settings
  } catch (error) {
    throw new InputError('PROCLABEL_CONFIG', `cannot read settings from ${file}: ${(error as Error).message}`, error)
  }
}

function convert(option: Option, value: unknown): unknown {
  if (option.isBoolean()) {
    if (typeof value !== 'boolean') throw new Error(`must be true or false, got '${JSON.stringify(value)}'`)
    return value
  }
  const texts = (Array.isArray(value) ? value : [value]).map(String)
  if (!option.parseArg) return option.variadic ? texts : texts[0]
  return texts.reduce<unknown>((before, text) => option.parseArg!(text, before), option.defaultValue)
}
