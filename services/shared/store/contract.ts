import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { HostWrite, OutboxRecord, Store, Version } from './store.ts'

const bytes = (text: string) => Buffer.from(text)
const record = (id: string, value = id): OutboxRecord => ({ id, topic: 't', key: 'k', value: bytes(value) })
const write = (expectedVersion: Version, rest: Partial<HostWrite> = {}): HostWrite => ({
  expectedVersion,
  put: new Map(),
  outbox: [],
  ...rest,
})
const text = (value: Uint8Array | undefined) => value && Buffer.from(value).toString()
const idsOf = async (store: Store, hostId: string) => (await store.outbox(hostId)).map(({ id }) => id)

/** Writes and expects it to be taken. */
async function saved(store: Store, hostId: string, change: HostWrite): Promise<Version> {
  const version = await store.save(hostId, change)
  assert.notEqual(version, null)
  return version!
}

/** What every store promises; `create` gives an empty one, which is closed here. */
export function storeContract(name: string, create: () => Promise<Store>): void {
  const promises = (what: string, check: (store: Store) => Promise<void>) =>
    test(what, async () => {
      const store = await create()
      try {
        await check(store)
      } finally {
        await store.close()
      }
    })

  suite(`store contract: ${name}`, () => {
    promises('a host never written has version 0 and nothing', async store => {
      assert.deepEqual(await store.load('h'), { version: '0', fields: new Map() })
      assert.deepEqual(await store.outbox('h'), [])
    })

    promises('fields and outbox are written together, and hosts do not see each other', async store => {
      const put = new Map([['a', bytes('1')]])
      const version = await saved(store, 'h', write('0', { put, outbox: [record('x'), record('y')] }))
      const state = await store.load('h')
      assert.equal(state.version, version)
      assert.deepEqual([...state.fields.keys()], ['a'])
      assert.equal(text(state.fields.get('a')), '1')
      assert.deepEqual(await idsOf(store, 'h'), ['x', 'y'])
      assert.equal((await store.load('other')).version, '0')
      assert.deepEqual(await store.outbox('other'), [])
    })

    promises('a field is replaced, deleted by null, and the others stay', async store => {
      const put = (fields: Record<string, string | null>) =>
        new Map(Object.entries(fields).map(([field, value]) => [field, value === null ? null : bytes(value)]))
      const first = await saved(store, 'h', write('0', { put: put({ a: '1', b: '2', c: '3' }) }))
      const second = await saved(store, 'h', write(first, { put: put({ a: null, b: '4', never: null }) }))
      assert.notEqual(second, first)
      const { version, fields } = await store.load('h')
      assert.equal(version, second)
      assert.deepEqual([...fields].map(([field, value]) => [field, text(value)]).sort(), [
        ['b', '4'],
        ['c', '3'],
      ])
    })

    promises('a write from an old version changes nothing', async store => {
      const version = await saved(store, 'h', write('0', { put: new Map([['a', bytes('1')]]) }))
      const stale = write('0', { put: new Map([['a', bytes('2')]]), outbox: [record('x')] })
      assert.equal(await store.save('h', stale), null)
      const state = await store.load('h')
      assert.equal(state.version, version)
      assert.equal(text(state.fields.get('a')), '1')
      assert.deepEqual(await store.outbox('h'), [])
    })

    promises('of two writes from one version at the same time one is taken', async store => {
      const answers = await Promise.all(
        ['x', 'y'].map(id => store.save('h', write('0', { put: new Map([['a', bytes(id)]]), outbox: [record(id)] }))),
      )
      assert.equal(answers.filter(answer => answer === null).length, 1)
      const { fields } = await store.load('h')
      assert.deepEqual(await idsOf(store, 'h'), [text(fields.get('a'))])
    })

    promises('the same write again answers as the first time, and is not written twice', async store => {
      const again = write('0', { put: new Map([['a', bytes('1')]]), outbox: [record('x')] })
      const first = await saved(store, 'h', again)
      assert.equal(await store.save('h', again), first)
      await store.acknowledge('h', ['x'])
      const second = await saved(store, 'h', write(first, { put: new Map([['a', bytes('2')]]) }))
      assert.equal(await store.save('h', again), null, 'after another write it is as stale as any')
      const { version, fields } = await store.load('h')
      assert.equal(version, second)
      assert.equal(text(fields.get('a')), '2')
      assert.deepEqual(await store.outbox('h'), [])
    })

    promises('records come back whole, in the order of their writes', async store => {
      const many = Array.from({ length: 300 }, (_, i) => record(`${(i * 7919) % 300}`))
      const version = await saved(store, 'h', write('0', { outbox: many }))
      const whole: OutboxRecord = { id: 'ä\0', topic: 't/ö', key: '\n', value: new Uint8Array([0, 255, 13, 10]) }
      await saved(store, 'h', write(version, { outbox: [whole] }))
      const outbox = await store.outbox('h')
      assert.deepEqual(
        outbox.map(({ id }) => id),
        [...many.map(({ id }) => id), whole.id],
      )
      const { value, ...rest } = outbox.at(-1)!
      assert.deepEqual({ ...rest, value: new Uint8Array(value) }, whole)
    })

    promises('acknowledged records leave the outbox, the others stay in order', async store => {
      await saved(store, 'h', write('0', { outbox: ['x', 'y', 'z'].map(id => record(id)) }))
      await store.acknowledge('h', ['y', 'not there'])
      assert.deepEqual(await idsOf(store, 'h'), ['x', 'z'])
      await store.acknowledge('h', [])
      await store.acknowledge('h', ['x', 'z'])
      assert.deepEqual(await idsOf(store, 'h'), [])
    })

    promises('a record written again under its id takes the place of the first, at the end', async store => {
      const version = await saved(store, 'h', write('0', { outbox: [record('x'), record('y')] }))
      await saved(store, 'h', write(version, { outbox: [record('x', 'new')] }))
      assert.deepEqual(
        (await store.outbox('h')).map(({ id, value }) => [id, text(value)]),
        [
          ['y', 'y'],
          ['x', 'new'],
        ],
      )
    })

    promises('any text names a host or a field, and any bytes are a value', async store => {
      const hostIds = ['', '{', '}', '{}', '}{', 'a}b', '{a}', 'a', '%7B', '%', 'ä ö\n\0', 'a:state', 'h'.repeat(5000)]
      const names = ['__proto__', 'constructor', '\0', 'ü\n', ' ', 'version', 'n'.repeat(1000)]
      const values = [new Uint8Array(), new Uint8Array([0, 13, 10, 255, 128]), new Uint8Array(100_000).fill(200)]
      for (const [i, hostId] of hostIds.entries()) {
        const put = new Map(names.map((field, j) => [field, values[(i + j) % values.length]!]))
        await saved(store, hostId, write('0', { put, outbox: [record(`of ${i}`)] }))
      }
      const states = await store.loadMany([...hostIds, 'never written'])
      assert.deepEqual([...states.keys()], [...hostIds, 'never written'])
      assert.equal(states.get('never written')!.version, '0')
      for (const [i, hostId] of hostIds.entries()) {
        const { version, fields } = states.get(hostId)!
        assert.equal((await store.load(hostId)).version, version)
        assert.equal(fields.size, names.length)
        for (const [j, field] of names.entries()) {
          assert.deepEqual(new Uint8Array(fields.get(field)!), values[(i + j) % values.length])
        }
        assert.deepEqual(await idsOf(store, hostId), [`of ${i}`])
      }
    })

    promises('20,000 fields in one write, then all of them deleted', async store => {
      const names = Array.from({ length: 20_000 }, (_, i) => `f${i}`)
      const first = await saved(store, 'h', write('0', { put: new Map(names.map(field => [field, bytes(field)])) }))
      const { fields } = await store.load('h')
      assert.equal(fields.size, names.length)
      assert.equal(text(fields.get('f19999')), 'f19999')
      const second = await saved(store, 'h', write(first, { put: new Map(names.map(field => [field, null])) }))
      assert.deepEqual(await store.load('h'), { version: second, fields: new Map() })
    })
  })
}
