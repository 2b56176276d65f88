import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { pino } from 'pino'
import type { BusRecord, ConsumedRecord } from './bus.ts'
import { HostKeys } from './host-keys.ts'
import { until } from './kafka-fixture.ts'
import { HostKey, signatureHeader, signedBus } from './signed-records.ts'

const silent = pino({ level: 'silent' })
const topic = 'socket-snapshots'

/** A folder, and keys whose files lie in it. */
function keyRing(t: TestContext) {
  const folder = mkdtempSync(`${tmpdir()}/host-keys-`)
  t.after(() => rmSync(folder, { recursive: true }))
  const file = `${folder}/keys`
  let made = 0
  const keyOf = (pair: { privateKey: KeyObject }): HostKey => {
    const keyFile = `${folder}/${made++}.key`
    writeFileSync(keyFile, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    return new HostKey(keyFile)
  }
  const ed25519 = () => keyOf(generateKeyPairSync('ed25519'))
  const open = (...lines: string[]) => {
    writeFileSync(file, `${lines.join('\n')}\n`)
    const keys = new HostKeys(file, silent)
    t.after(() => keys.close())
    return keys
  }
  return { folder, file, keyOf, ed25519, open }
}

const consumed = (record: BusRecord, more: Partial<ConsumedRecord> = {}): ConsumedRecord => ({
  ...record,
  topic,
  partition: 0,
  offset: 0,
  appendMs: 0,
  ...more,
})
const text = (key: string, value: string): BusRecord => ({ key, value: Buffer.from(value) })
const reasons = async (keys: HostKeys, ...records: ConsumedRecord[]) => {
  const forgeries = await keys.forgeries(records)
  return records.map(record => forgeries.get(record)?.reason ?? 'believed')
}

for (const [kind, pair] of [
  ['Ed25519', () => generateKeyPairSync('ed25519')],
  ['EC', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
] as const) {
  test(`what a host signs with its ${kind} key is believed, from it alone`, async t => {
    const { keyOf, open } = keyRing(t)
    const [own, other] = [keyOf(pair()), keyOf(pair())]
    const keys = open('# by hand', '', `pc 1 ${own.publicKey}`, `pc-2  ${other.publicKey}`)
    const signed = own.sign(topic, text('pc 1', 'x'))
    assert.deepEqual(await reasons(keys, consumed(signed)), ['believed'])
    const claims = [
      consumed(own.sign(topic, text('pc-2', 'x'))),
      consumed(own.sign(topic, text('pc-3', 'x'))),
      consumed(text('pc 1', 'x')),
    ]
    assert.deepEqual(await reasons(keys, ...claims), ['forged', 'host-unknown', 'unsigned'])
  })
}

test('a signature holds for its topic, key and value, and for nothing else', async t => {
  const { ed25519, open } = keyRing(t)
  const key = ed25519()
  const keys = open(`a ${key.publicKey}`, `ab ${key.publicKey}`)
  const signed = key.sign(topic, text('a', 'bc'))
  const moved = [
    consumed({ ...signed, key: 'ab', value: Buffer.from('c') }),
    consumed(signed, { topic: 'socket-events' }),
    consumed({ ...signed, value: null }),
    consumed({ ...signed, value: Buffer.from('bd') }),
    consumed({ ...signed, headers: { [signatureHeader]: Buffer.alloc(0) } }),
    consumed({ ...key.sign(topic, { key: 'a', value: null }), value: Buffer.alloc(0) }),
  ]
  assert.deepEqual(await reasons(keys, consumed(signed)), ['believed'])
  assert.deepEqual(
    await reasons(keys, ...moved),
    moved.map(() => 'forged'),
  )
})

test('no bytes in place of a signature are believed, or end the reader', async t => {
  const { ed25519, open } = keyRing(t)
  const keys = open(`a ${ed25519().publicKey}`)
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async signature => {
      const record = consumed({ ...text('a', 'x'), headers: { [signatureHeader]: signature } })
      assert.deepEqual(await reasons(keys, record), ['forged'])
    }),
    { numRuns: 200 },
  )
})

test('packets and resolutions are not for hosts to sign', async t => {
  const keys = keyRing(t).open()
  const records = ['packets', 'resolutions'].map(of => consumed(text('a', 'x'), { topic: of }))
  assert.deepEqual(await reasons(keys, ...records), ['believed', 'believed'])
})

test('a host may have an old key and a new one; the list is read again when it changes, unless it is wrong', async t => {
  const { ed25519, open, file } = keyRing(t)
  const [old, next] = [ed25519(), ed25519()]
  const keys = open(`a ${old.publicKey}`)
  const replace = (content: string) => {
    writeFileSync(`${file}.new`, content)
    renameSync(`${file}.new`, file)
  }
  const record = consumed(next.sign(topic, text('a', 'x')))
  assert.deepEqual(await reasons(keys, record), ['forged'])
  replace(`a ${old.publicKey}\na ${next.publicKey}\n`)
  let seen: string[] = []
  const look = setInterval(async () => {
    seen = await reasons(keys, record)
  }, 100)
  t.after(() => clearInterval(look))
  await until('the new key is known', () => seen[0] === 'believed')
  assert.deepEqual(await reasons(keys, consumed(old.sign(topic, text('a', 'x')))), ['believed'])
  const heard: string[] = []
  const told = new HostKeys(file, { info: () => {}, error: (...all: unknown[]) => heard.push(String(all[1])) })
  t.after(() => told.close())
  replace('a nonsense\n')
  await until('the error is told', () => heard.length > 0)
  assert.deepEqual(await reasons(told, record), ['believed'])
})

test('a list or a key that cannot be used is refused with all that is wrong, and nothing of a key is told', t => {
  const { open, ed25519, folder, keyOf } = keyRing(t)
  const { publicKey } = ed25519()
  const problem = (lines: string[]) => {
    try {
      open(...lines)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'PROCLABEL_CONFIG')
      return (error as Error).message
    }
    return assert.fail('was taken')
  }
  const message = problem([`a ${publicKey}`, publicKey, 'b AAAA', `c ${publicKey.slice(8)}`])
  for (const line of [2, 3, 4]) assert.match(message, new RegExp(`line ${line}: `))
  assert.doesNotMatch(message, /line 1: /)
  const x25519 = generateKeyPairSync('x25519')
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
  assert.match(problem([`a ${der(x25519.publicKey)}`]), /expected an Ed25519, EC or RSA key, got x25519/)
  assert.throws(() => keyOf(short), /at least 2048 bits/)
  assert.throws(() => new HostKeys(`${folder}/none`, silent), { code: 'PROCLABEL_CONFIG' })
  writeFileSync(`${folder}/bad.key`, '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n')
  assert.throws(
    () => new HostKey(`${folder}/bad.key`),
    (error: Error) => !String(error.stack).includes('c2VjcmV0') && error.cause === undefined,
  )
})

const der = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('base64')

test('a bus that signs leaves records and their other headers as they are', async t => {
  const { ed25519, open } = keyRing(t)
  const key = ed25519()
  const published: BusRecord[] = []
  const bus = signedBus({ publish: async (_, records) => void published.push(...records) }, key)
  const given = { ...text('a', 'x'), partitionKey: 'p', headers: { other: Buffer.from('1') } }
  await bus.publish(topic, [given])
  const { [signatureHeader]: signature, ...others } = published[0]!.headers!
  assert.deepEqual({ ...published[0]!, headers: others }, given)
  assert.equal(signature!.length, 64)
  assert.deepEqual(await reasons(open(`a ${key.publicKey}`), consumed(published[0]!)), ['believed'])
})
