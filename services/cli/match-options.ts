import { readFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { defaultConstants, type MatchConstants, paperProfile } from '#core/constants.ts'
import { InputError } from '#shared/errors.ts'

export interface MatchFlags {
  profile: 'default' | 'paper'
  constants?: string
  set: string[]
}

/** The options with which every command that matches sets the matching constants. */
export const matchOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--profile <name>', 'paper matches as the source work did: polls alone, its stages and constants')
        .choices(['default', 'paper'])
        .default('default'),
    )
    .option('--constants <file>', 'matching constants as a JSON object')
    .option(
      '--set <name=value>',
      'one matching constant; may be given again; services/core/constants.ts lists them',
      (value: string, before: string[]) => [...before, value],
      [],
    )

/** Defaults, then the profile, then the file, then `--set`. Throws one InputError that names every wrong setting. */
export async function matchConstants({ profile, constants, set }: MatchFlags): Promise<MatchConstants> {
  const fromFile: Record<string, unknown> = constants ? await readConstants(constants) : {}
  const fromFlags = Object.fromEntries(set.map(setting => splitSetting(setting)))
  const given = { ...fromFile, ...fromFlags }
  const problems = Object.entries(given).flatMap(([name, value]) => problemWith(name, value) ?? [])
  if (problems.length > 0) throw new InputError('PROCLABEL_CONFIG', problems.join('; '))
  return Object.freeze({ ...defaultConstants, ...(profile === 'paper' ? paperProfile : {}), ...given })
}

async function readConstants(file: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new InputError('PROCLABEL_CONFIG', `cannot read constants from ${file}: ${(error as Error).message}`, error)
  }
}

function splitSetting(setting: string): [string, unknown] {
  const at = setting.indexOf('=')
  const text = setting.slice(at + 1)
  try {
    return [setting.slice(0, Math.max(at, 0)), JSON.parse(text)]
  } catch {
    return [setting.slice(0, Math.max(at, 0)), text]
  }
}

function problemWith(name: string, value: unknown): string | null {
  const expected = (defaultConstants as unknown as Record<string, unknown>)[name]
  if (expected === undefined) return `'${name}' is not a matching constant`
  const got = `got '${JSON.stringify(value)}'`
  if (Array.isArray(expected)) {
    const fits = Array.isArray(value) && value.every(item => expected.includes(item))
    return fits ? null : `${name} must be a list of ${expected.join(', ')}, ${got}`
  }
  if (typeof expected === 'boolean') return typeof value === 'boolean' ? null : `${name} must be true or false, ${got}`
  return typeof value === 'number' && value >= 0 ? null : `${name} must be a number of at least 0, ${got}`
}
