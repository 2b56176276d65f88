import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Process, TopicRecord } from '#schemas'
import { InputError } from '#shared/errors.ts'
import type { AgentTopic } from './agent.ts'

/** What an agent may leave out of all it tells of processes. */
export const hideable = ['paths', 'users', 'names'] as const
export type Hideable = (typeof hideable)[number]

const leastKeyBytes = 16
const hashDigits = 16
/** Names whose hashes are remembered. */
const maxNames = 10_000

/**
 * Leaves out of an agent's records what a site does not want told. Names, of programs and of their services, become the first
 * 64 bits of their HMAC-SHA256 (RFC 2104): with one key for all hosts, equal names stay equal, and nobody without it can try
 * names out.
 */
export class Privacy {
  readonly #hidden: ReadonlySet<Hideable>
  readonly #key: Buffer | null
  readonly #hashes = new Map<string, string>()

  /** Throws InputError where the key of the names is missing, cannot be read or is too short. */
  constructor(hidden: readonly Hideable[], keyFile: string | null) {
    this.#hidden = new Set(hidden)
    this.#key = this.#hidden.has('names') ? readKey(keyFile) : null
  }

  apply<T extends AgentTopic>(topic: T, record: TopicRecord<T>): TopicRecord<T> {
    if (topic === 'hosts' || this.#hidden.size === 0) return record
    const { processes } = record as TopicRecord<'socket-snapshots' | 'socket-events'>
    return { ...record, processes: processes.map(process => this.#cover(process)) }
  }

  #cover(process: Process): Process {
    return {
      ...process,
      path: this.#hidden.has('paths') ? null : process.path,
      user: this.#hidden.has('users') ? null : process.user,
      name: this.#hash(process.name),
      services: process.services.map(service => this.#hash(service)),
    }
  }

  #hash(name: string): string {
    if (this.#key === null) return name
    let hash = this.#hashes.get(name)
    if (hash === undefined) {
      hash = createHmac('sha256', this.#key).update(name).digest('hex').slice(0, hashDigits)
      if (this.#hashes.size >= maxNames) this.#hashes.clear()
      this.#hashes.set(name, hash)
    }
    return hash
  }
}

function readKey(file: string | null): Buffer {
  if (file === null) {
    throw new InputError('PROCLABEL_CONFIG', 'hidden names need a key: give --hide-key-file a file of random bytes')
  }
  let key: Buffer
  try {
    key = readFileSync(file)
  } catch (cause) {
    throw new InputError('PROCLABEL_CONFIG', `cannot read the key ${file}: ${(cause as Error).message}`, cause)
  }
  if (key.length < leastKeyBytes) {
    throw new InputError('PROCLABEL_CONFIG', `the key ${file} has ${key.length} bytes, fewer than ${leastKeyBytes}`)
  }
  return key
}
