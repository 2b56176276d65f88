import type { Argument, Command, Option } from 'commander'

/** A matching constant as `services/core/constants.ts` declares it. */
export interface ConstantEntry {
  name: string
  meaning: string
  byDefault: unknown
  /** What `--profile paper` sets it to; undefined where it keeps the default. */
  paper: unknown
}

export interface ConfigurationInput {
  commands: readonly Command[]
  variableOf: (option: Option) => string
  constants: readonly ConstantEntry[]
  /** A default that is this machine's name stands as such. */
  machineName: string
}

/** The reference of all settings, as Markdown. An option that several commands have with the same words stands in one row. */
export function configurationReference({ commands, variableOf, constants, machineName }: ConfigurationInput): string {
  const all = commands.flatMap(command => withSubcommands(command))
  const rows = new Map<string, { option: Option; takers: string[] }>()
  for (const { name, command } of all) {
    for (const option of command.options) {
      const key = JSON.stringify([option.flags, option.description, option.defaultValue, option.mandatory])
      const row = rows.get(key) ?? { option, takers: [] }
      rows.set(key, row)
      row.takers.push(name)
    }
  }
  const shared = [...rows.values()].filter(({ takers }) => takers.length > 1)
  const tableRow = ({ option }: { option: Option }) =>
    `| \`${cell(option.flags)}\` | \`${variableOf(option)}\` | ${defaultOf(option, machineName)} | ${meaningOf(option)} |`
  const sections = all.flatMap(({ name, command }) => {
    const own = [...rows.values()].filter(({ takers }) => takers.length === 1 && takers[0] === name)
    const others = shared.filter(({ takers }) => takers.includes(name)).map(({ option }) => `\`${longName(option)}\``)
    if (own.length + others.length === 0) return []
    return [
      `## proclabel ${name}${command.registeredArguments.map(argument => ` ${argumentText(argument)}`).join('')}`,
      `${sentence(command.description())}`,
      ...(own.length > 0 ? [table(['Option', 'Variable', 'Default', 'Meaning'], own.map(tableRow))] : []),
      ...(others.length > 0 ? [`Of several commands: ${others.join(', ')}.`] : []),
    ]
  })
  return `${[
    '# Configuration',
    'Written by `node services/deploy/docs/main.ts` from the commands themselves: change those.',
    'Each option can be set by flag, by environment variable (lists with commas, switches `true` or `false`), or in a JSON file of\n' +
      'option names and values given with `--config FILE` before the command; the first of these that sets it counts. What is wrong is\n' +
      'told all at once, with exit status 2.',
    '## Options of several commands',
    table(
      ['Option', 'Variable', 'Default', 'Meaning', 'Commands'],
      shared.map(row => `${tableRow(row)} ${row.takers.join(', ')} |`),
    ),
    ...sections,
    '## Matching constants',
    'For `--set NAME=VALUE` and `--constants FILE`. Names that end in `Us` are microseconds of event time.',
    table(
      ['Constant', 'Default', '`--profile paper`', 'Meaning'],
      constants.map(
        ({ name, byDefault, paper, meaning }) =>
          `| \`${name}\` | ${valueText(byDefault)} | ${paper === undefined ? '' : valueText(paper)} | ${cell(meaning)} |`,
      ),
    ),
  ].join('\n\n')}\n`
}

/**
 * The constants of an interface with a doc comment on each member, with their values.
 * Throws where a member has no comment: the reference would have an empty line.
 */
export function constantEntries(
  source: string,
  defaults: Readonly<Record<string, unknown>>,
  paper: Readonly<Record<string, unknown>>,
): ConstantEntry[] {
  const meanings = new Map(
    [...source.matchAll(/^ {2}\/\*\* ([^\n]*) \*\/\n {2}(\w+):/gm)].map(([, meaning, name]) => [name, meaning]),
  )
  return Object.entries(defaults).map(([name, byDefault]) => {
    const meaning = meanings.get(name)
    if (meaning === undefined) throw new RangeError(`the constant ${name} has no comment of one line`)
    return { name, meaning, byDefault, paper: paper[name] }
  })
}

const withSubcommands = (command: Command, before = ''): { name: string; command: Command }[] => {
  const name = `${before}${command.name()}`
  return [{ name, command }, ...command.commands.flatMap(sub => withSubcommands(sub, `${name} `))]
}

const table = (headings: readonly string[], rows: readonly string[]): string =>
  [`| ${headings.join(' | ')} |`, `|${' --- |'.repeat(headings.length)}`, ...rows].join('\n')

const longName = (option: Option): string => option.long ?? option.flags
const cell = (text: string): string => text.replaceAll('|', '\\|')
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.:]$/.test(text) ? '' : '.'}`

function argumentText(argument: Argument): string {
  const text = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${text}>` : `[${text}]`
}

function defaultOf({ mandatory, defaultValue, defaultValueDescription }: Option, machineName: string): string {
  if (defaultValue === undefined && mandatory) return '**required**'
  if (defaultValue === machineName) return "the machine's name"
  return cell(defaultValueDescription ?? valueText(defaultValue))
}

function meaningOf({ description, argChoices }: Option): string {
  const choices = argChoices ? ` (${argChoices.map(choice => `\`${choice}\``).join(', ')})` : ''
  return cell(`${description}${choices}`)
}

function valueText(value: unknown): string {
  if (value === undefined || value === false || value === '' || (Array.isArray(value) && value.length === 0))
    return 'none'
  if (Array.isArray(value)) return value.map(valueText).join(', ')
  if (value === Number.POSITIVE_INFINITY) return '`Infinity`'
  return `\`${typeof value === 'object' ? JSON.stringify(value) : String(value)}\``
}
