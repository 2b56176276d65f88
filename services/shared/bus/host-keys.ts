import { createPublicKey, verify } from 'node:crypto'
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { promisify } from 'node:util'
import { ProclabelError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ConsumedRecord } from './bus.ts'
import { type SigningKey, signatureHeader, signedBytes, signingKey } from './signed-records.ts'

/** What agents write, and so what they must sign; who else writes what, ACLs tell. */
const agentTopics: ReadonlySet<string> = new Set(['hosts', 'socket-snapshots', 'socket-events'])
const lookEveryMs = 5000

export type ForgeryReason = 'host-unknown' | 'unsigned' | 'forged'
export interface Forgery {
  reason: ForgeryReason
  detail: string
}

const verifyInThreadPool = promisify(verify)

/**
 * Which keys may speak for which host: a file of lines `HOST KEY`, the public key as base64 of its DER (SubjectPublicKeyInfo).
 * A host with several lines may use any of these keys; `#` begins a comment. The file is read again when it changes; while
 * it has an error, what was read before counts.
 */
export class HostKeys {
  readonly #file: string
  readonly #log: Pick<Log, 'info' | 'error'>
  #keys: ReadonlyMap<string, readonly SigningKey[]>

  /** Throws PROCLABEL_CONFIG with all that is wrong in the file. */
  constructor(file: string, log: Pick<Log, 'info' | 'error'>) {
    this.#file = file
    this.#log = log
    this.#keys = readKeys(file)
    watchFile(file, { persistent: false, interval: lookEveryMs }, this.#read)
    log.info({ file, hosts: this.#keys.size }, 'hosts speak for themselves alone')
  }

  close(): void {
    unwatchFile(this.#file, this.#read)
  }

  #read = (): void => {
    try {
      this.#keys = readKeys(this.#file)
      this.#log.info({ file: this.#file, hosts: this.#keys.size }, 'host keys read again')
    } catch (error) {
      this.#log.error({ error }, 'host keys stay as they were')
    }
  }

  /** The records that the host they tell of did not sign. */
  async forgeries<R extends ConsumedRecord>(records: readonly R[]): Promise<Map<R, Forgery>> {
    const forgeries = new Map<R, Forgery>()
    const check = async (record: R) => {
      const forgery = await this.#check(record)
      if (forgery) forgeries.set(record, forgery)
    }
    await Promise.all(records.filter(({ topic }) => agentTopics.has(topic)).map(check))
    return forgeries
  }

  async #check(record: ConsumedRecord): Promise<Forgery | null> {
    const keys = this.#keys.get(record.key)
    if (keys === undefined) return { reason: 'host-unknown', detail: 'no key is known of this host' }
    const signature = record.headers?.[signatureHeader]
    if (signature === undefined) return { reason: 'unsigned', detail: `no header ${signatureHeader}` }
    const bytes = signedBytes(record.topic, record)
    for (const { key, digest } of keys) if (await verifyInThreadPool(digest, bytes, key, signature)) return null
    return { reason: 'forged', detail: 'the signature is not that of the host' }
  }
}

function readKeys(file: string): Map<string, SigningKey[]> {
  const keys = new Map<string, SigningKey[]>()
  const problems: string[] = []
  for (const [i, text] of readText(file).split('\n').entries()) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    const at = line.lastIndexOf(' ')
    const hostId = line.slice(0, Math.max(0, at)).trim()
    try {
      if (hostId === '') throw new RangeError('expected a host id and a key')
      const key = createPublicKey({ key: Buffer.from(line.slice(at + 1), 'base64'), type: 'spki', format: 'der' })
      keys.set(hostId, [...(keys.get(hostId) ?? []), signingKey(key)])
    } catch (error) {
      problems.push(`line ${i + 1}: ${(error as Error).message}`)
    }
  }
  if (problems.length === 0) return keys
  throw new ProclabelError('PROCLABEL_CONFIG', `host keys ${file}: ${problems.join('; ')}`)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ProclabelError('PROCLABEL_CONFIG', `host keys ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
}
