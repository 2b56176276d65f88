/**
 * Who a record is from. Kafka checks who may write to a topic, and tells readers nothing of that; all agents write the same
 * topics. So an agent signs each record with a private key of its host, and readers hold the public ones: see `host-keys.ts`.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ProclabelError } from '../errors.ts'
import type { Bus, BusRecord } from './bus.ts'

/** Its value is the signature, as the key's algorithm makes it. */
export const signatureHeader = 'proclabel-signature'

/** A key with the digest that its signatures use; Ed25519 has its own. */
export interface SigningKey {
  key: KeyObject
  digest: string | null
}

const digests: Readonly<Record<string, string | null>> = { ed25519: null, ec: 'sha256', rsa: 'sha256' }
const leastRsaBits = 2048

/** Throws a RangeError for a key that cannot sign, or not well enough. */
export function signingKey(key: KeyObject): SigningKey {
  const { asymmetricKeyType: kind = 'secret', asymmetricKeyDetails: details } = key
  const digest = digests[kind]
  if (digest === undefined) throw new RangeError(`expected an Ed25519, EC or RSA key, got ${kind}`)
  if ((details?.modulusLength ?? leastRsaBits) < leastRsaBits)
    throw new RangeError(`expected at least ${leastRsaBits} bits of an RSA key, got ${details!.modulusLength}`)
  return { key, digest }
}

/** What is signed: where a record goes, under which key, and what it says. A signature of one record fits no other. */
export function signedBytes(topic: string, { key, value }: Pick<BusRecord, 'key' | 'value'>): Buffer {
  const where = Buffer.from(`${JSON.stringify(['proclabel record', topic, key, value !== null])}\n`)
  return value === null ? where : Buffer.concat([where, value])
}

/** A host's own key, from a PEM file: that of its Kafka client certificate, or another. Throws PROCLABEL_CONFIG. */
export class HostKey {
  readonly #signing: SigningKey

  constructor(file: string) {
    try {
      this.#signing = signingKey(createPrivateKey(readFileSync(file)))
    } catch (cause) {
      // Node's message is of the format alone: it holds nothing of the key.
      throw new ProclabelError('PROCLABEL_CONFIG', `the host key ${file} cannot be used: ${(cause as Error).message}`)
    }
  }

  /** As it stands in the readers' list: DER in base64. */
  get publicKey(): string {
    return createPublicKey(this.#signing.key).export({ type: 'spki', format: 'der' }).toString('base64')
  }

  sign(topic: string, record: BusRecord): BusRecord {
    const { key, digest } = this.#signing
    const signature = sign(digest, signedBytes(topic, record), key)
    return { ...record, headers: { ...record.headers, [signatureHeader]: signature } }
  }
}

/** A bus on which every record that is published is signed. */
export const signedBus = (bus: Pick<Bus, 'publish'>, hostKey: HostKey): Pick<Bus, 'publish'> => ({
  publish: async (topic, records) =>
    bus.publish(
      topic,
      records.map(record => hostKey.sign(topic, record)),
    ),
})
