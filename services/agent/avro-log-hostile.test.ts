import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { deflateRawSync } from 'node:zlib'
import { MAX_BLOCK_BYTES } from './avro-log.ts'
import {
  allSchemas,
  block,
  bytesOf,
  header,
  hostBody,
  readAll,
  SYNC,
  sized,
  small,
  varint,
  writeFile,
} from './avro-log-fixture.ts'
import { host } from './log-fixture.ts'
import { readSocketLog } from './socket-log.ts'

const withField = (type: unknown) => [
  { ...allSchemas[0]!, fields: [...allSchemas[0]!.fields, { name: 'more', type, doc: '' }] },
]
const nested = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] }
const nulls = Array.from({ length: 2000 }, (_, i) => ({ name: `f${i}`, type: 'null' }))
const wide = { type: 'array', items: { type: 'record', name: 'W', fields: nulls } }
const join = (...parts: Buffer[]) => Buffer.concat(parts)
/** A host whose addresses are said to be so many. */
const manyAddresses = (count: Buffer) => join(varint(0), sized(Buffer.from('a')), varint(0), count)
const wellFormedMore = block(1, join(hostBody(), varint(0)))

interface HostileBlock {
  reason?: string
  schema?: unknown
  codec?: 'null' | 'deflate'
  bad: Buffer
  /** A block behind the bad one, which is to be read. */
  next?: Buffer
}

const hostileBlocks: Record<string, HostileBlock> = {
  'an array of 2^31 items': { bad: block(1, manyAddresses(varint(2 ** 31))) },
  'an array of 2^62 items': { bad: block(1, manyAddresses(Buffer.alloc(9, 0xff))) },
  'array items of a negative size, skipped backwards for ever': {
    schema: withField({ type: 'array', items: 'int' }),
    bad: block(1, join(hostBody(), varint(-1), varint(-3), varint(5), varint(0))),
    next: wellFormedMore,
  },
  'array items of no bytes': {
    schema: withField({ type: 'array', items: 'null' }),
    bad: block(1, join(hostBody(), varint(2 ** 52), varint(0))),
    next: wellFormedMore,
  },
  'array items of many fields and no bytes': {
    schema: withField(wide),
    bad: block(1, join(hostBody(), varint(2 ** 40), varint(0))),
    next: wellFormedMore,
  },
  'values nested without end': {
    schema: withField(nested),
    bad: block(1, join(hostBody(), Buffer.alloc(1_000_000, 2))),
    next: wellFormedMore,
  },
  'a block of a negative count': { bad: block(-1, hostBody()) },
  'bytes behind the last record': { bad: block(0, hostBody()) },
  'a branch that is not there': { bad: block(1, Buffer.of(8)) },
  'a port of more than 32 bits': {
    reason: 'invalid-record',
    // Branch 2; host_id to complete, lost and until_us; one event with its port, and no processes.
    bad: block(
      1,
      join(varint(2), Buffer.alloc(7), varint(1), Buffer.alloc(7), varint(1), varint(2 ** 40), Buffer.alloc(4)),
    ),
  },
  'a block that unpacks to very much': {
    reason: 'block-too-long',
    codec: 'deflate',
    bad: block(1, deflateRawSync(Buffer.alloc(MAX_BLOCK_BYTES + 1))),
    next: block(1, deflateRawSync(hostBody())),
  },
  'a block of very many bytes': { reason: 'block-too-long', bad: join(varint(1), varint(2 ** 50), SYNC) },
  'no deflate': { codec: 'deflate', bad: block(1, Buffer.alloc(9, 0xff)), next: block(1, deflateRawSync(hostBody())) },
}

for (const [name, hostile] of Object.entries(hostileBlocks)) {
  const { reason = 'damaged-avro', schema = allSchemas, codec = 'null', bad, next = block(1, hostBody()) } = hostile
  test(`${name}: ${reason}, and the next block is read`, { timeout: 20_000 }, async () => {
    const { records, skipped } = await readAll(writeFile(join(header(schema, codec), bad, next)))
    assert.deepEqual([records, skipped], [[{ topic: 'hosts', record: host }], { [reason]: 1 }])
  })
}

test('records of no bytes are not repeated for ever', { timeout: 20_000 }, async () => {
  const empty = { type: 'record', name: 'proclabel.Empty', fields: [] }
  const file = writeFile(join(header(empty), block(2 ** 50, Buffer.of(0))))
  assert.deepEqual((({ read, skipped }) => [read, skipped])(await readAll(file)), [0, { 'damaged-avro': 1 }])
})

for (const [name, reason, bytes] of [
  ['a schema that is none', 'damaged-avro', header({ type: 'recrod' })],
  ['a schema nested without end', 'damaged-avro', header(null, 'null', `${'['.repeat(50_000)}${']'.repeat(50_000)}`)],
  ['a codec we do not have', 'unknown-codec', header(allSchemas, 'snappy')],
  [
    'metadata without end',
    'damaged-avro',
    Buffer.concat([Buffer.from('Obj\x01'), varint(2 ** 50), Buffer.alloc(900_000)]),
  ],
] as const) {
  test(`a header with ${name} is ${reason}, and other files are read`, async () => {
    const file = writeFile(Buffer.concat([bytes, block(1, hostBody())]))
    const { read, skipped, firstProblem } = await readAll([file, writeFile(bytesOf(small))])
    assert.deepEqual([read, skipped], [4, { [reason]: 1 }])
    assert.ok(firstProblem?.startsWith(`${file}, block 0: `), firstProblem ?? 'no problem told')
  })
}

test('a block without end is passed over in bounded memory', async () => {
  const long = Buffer.alloc(MAX_BLOCK_BYTES * 4, 'x')
  const file = writeFile(
    Buffer.concat([header(allSchemas), block(1, hostBody()), varint(1), sized(long), SYNC, block(1, hostBody())]),
  )
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heldBytes = () => {
    collect()
    return process.memoryUsage().arrayBuffers
  }
  const before = heldBytes()
  const log = readSocketLog(file)
  let most = 0
  for await (const _ of log) most = Math.max(most, heldBytes())
  assert.deepEqual([log.counts.read, log.counts.skipped], [2, { 'block-too-long': 1 }])
  assert.ok(most - before < MAX_BLOCK_BYTES, `${most - before} bytes held`)
})
