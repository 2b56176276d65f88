import { type Command, Option } from 'commander'
import { type Hideable, hideable, Privacy } from '../agent/privacy.ts'

export interface PrivacyFlags {
  hide?: Hideable[]
  hideKeyFile?: string
}

/** What is not to be told of processes. */
export const privacyOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--hide <what...>',
        'not told of processes; in place of names, of services too, come keyed hashes',
      ).choices(hideable),
    )
    .option('--hide-key-file <file>', 'key of these hashes, at least 16 random bytes, the same on all hosts')

export const privacyOf = ({ hide = [], hideKeyFile }: PrivacyFlags): Privacy => new Privacy(hide, hideKeyFile ?? null)
