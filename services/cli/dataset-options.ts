import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Stage } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { nameFates, type Privacy } from '../export/disguise.ts'
import type { Division } from '../export/divide.ts'
import { planParts, type Shares } from '../export/parts.ts'
import type { Selection } from '../export/selection.ts'
import { timeOf } from './time-of.ts'
import { wholeNumber } from './whole-number.ts'

/** Which sessions go into a dataset, and what of them. */
export interface DatasetFlags {
  minConfidence?: number
  stages?: Stage[]
  since?: number
  until?: number
  balance?: number
  split?: 'time' | 'host'
  shares?: Shares
  pseudonymKey?: string
  names?: Privacy['names']
  dropPaths?: true
}

const allStages: readonly string[] = ['A', 'A2', 'B', 'C', 'D', 'F', 'N']
const defaultShares: Shares = [0.7, 0.15, 0.15]

/** The options of DatasetFlags. */
export const datasetOptions = (command: Command): Command =>
  command
    .option('--min-confidence <share>', 'only labels of this confidence at least, and those of stage A', shareOf)
    .option('--stages <stages>', 'only sessions labeled by these, such as A,A2', stagesOf)
    .option('--since <time>', 'only sessions that begin then or later, ISO 8601', timeOf)
    .option('--until <time>', 'only sessions that begin before', timeOf)
    .option('--balance <n>', 'with files: at most n sessions of each process', wholeNumber(1, 1_000_000_000))
    .addOption(new Option('--split <by>', 'with files: parts to train, validate and test').choices(['time', 'host']))
    .option('--shares <a,b,c>', 'of the three parts; 0.7,0.15,0.15 by default', sharesOf)
    .option('--pseudonym-key <file>', 'addresses, hosts and ids become pseudonyms by this key: 64 hex digits')
    .addOption(
      new Option('--names <fate>', 'server and DNS names; hashed with a pseudonym key, else kept').choices(nameFates),
    )
    .option('--drop-paths', 'no paths of executables; so with a pseudonym key, too')

/** Throws InputError. Division is null where there is nothing to divide. */
export function compileDataset(
  flags: DatasetFlags,
  isOfFiles: boolean,
): { selection: Selection; privacy: Privacy; division: Division | null } {
  const { minConfidence, stages, since, until, balance, split, shares, names, dropPaths } = flags
  const key = flags.pseudonymKey === undefined ? null : readKey(flags.pseudonymKey)
  if (names === 'hash' && key === null)
    throw new InputError('PROCLABEL_CONFIG', '--names hash needs --pseudonym-key: names are few enough to be guessed')
  const divides = balance !== undefined || split !== undefined
  if (divides && !isOfFiles)
    throw new InputError(
      'PROCLABEL_CONFIG',
      '--balance and --split need all sessions at hand: give files, not --brokers',
    )
  if (shares && !split) throw new InputError('PROCLABEL_CONFIG', '--shares goes with --split')
  return {
    selection: {
      minConfidence: minConfidence ?? null,
      stages: stages ?? null,
      sinceUs: since ?? null,
      untilUs: until ?? null,
    },
    privacy: { key, names: names ?? (key ? 'hash' : 'keep'), dropPaths: dropPaths ?? key !== null },
    division: divides
      ? { most: balance ?? null, plan: split ? planParts(split, shares ?? defaultShares) : null }
      : null,
  }
}

/** For the manifest, as it was asked for. */
export function selectionText(flags: DatasetFlags): Record<string, unknown> {
  const { minConfidence, stages, since, until, balance, split, shares = defaultShares } = flags
  const time = (us: number | undefined) => us && new Date(us / 1000).toISOString()
  const asked = {
    ...{ min_confidence: minConfidence, stages, since: time(since), until: time(until) },
    ...{ most_sessions_of_a_process: balance, split, shares: split && shares },
  }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined))
}

function readKey(file: string): Uint8Array {
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new InputError('PROCLABEL_CONFIG', `cannot read the pseudonym key: ${(error as Error).message}`, error)
  }
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  throw new InputError('PROCLABEL_CONFIG', `${file} must hold 64 hex digits, as 'openssl rand -hex 32' writes them`)
}

function shareOf(text: string): number {
  const share = Number(text)
  if (text.trim() !== '' && share >= 0 && share <= 1) return share
  throw new InvalidArgumentError('expected a number from 0 to 1.')
}

function stagesOf(text: string): Stage[] {
  const stages = text.split(',')
  if (stages.every(stage => allStages.includes(stage))) return stages as Stage[]
  throw new InvalidArgumentError(`expected some of ${allStages.join(', ')}, with commas between.`)
}

function sharesOf(text: string): Shares {
  const shares = text.split(',').map(shareOf)
  const sum = shares.reduce((a, b) => a + b, 0)
  if (shares.length === 3 && Math.abs(sum - 1) < 1e-9) return shares as unknown as Shares
  throw new InvalidArgumentError('expected three shares that add up to 1, such as 0.7,0.15,0.15.')
}
