import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { HostWrite, OutboxRecord, Store } from './store.ts'

const field = (text: string, expiresUs = 100) => ({ value: Buffer.from(text), expiresUs })
const record = (id: string): OutboxRecord => ({ id, topic: 't', key: 'k', value: Buffer.from(id) })
const write = (expectedVersion: number, rest: Partial<HostWrite> = {}): HostWrite => ({
  expectedVersion,
  put: new Map(),
  outbox: [],
  ...rest,
})
const text = (value: Uint8Array | undefined) => value && Buffer.from(value).toString()

/** What every store promises; `create` gives an empty one. */
export function storeContract(name: string, create: () => Promise<Store>): void {
  suite(`store contract: ${name}`, () => {
    test('a host never written has version 0 and nothing', async () => {
      const store = await create()
      assert.deepEqual(await store.load('h'), { version: 0, fields: new Map() })
      assert.deepEqual(await store.outbox('h'), [])
      await store.close()
    })

    test('fields and outbox are written together, and hosts do not see each other', async () => {
      const store = await create()
      const put = new Map([['a', field('1')]])
      assert.equal(await store.save('h', write(0, { put, outbox: [record('x'), record('y')] })), 1)
      const { version, fields } = await store.load('h')
      assert.equal(version, 1)
      assert.equal(text(fields.get('a')), '1')
      assert.deepEqual(
        (await store.outbox('h')).map(({ id }) => id),
        ['x', 'y'],
      )
      assert.equal((await store.load('other')).version, 0)
      await store.close()
    })

    test('a write from an old version changes nothing', async () => {
      const store = await create()
      await store.save('h', write(0, { put: new Map([['a', field('1')]]) }))
      const stale = write(0, { put: new Map([['a', field('2')]]), outbox: [record('x')] })
      assert.equal(await store.save('h', stale), null)
      const { version, fields } = await store.load('h')
      assert.equal(version, 1)
      assert.equal(text(fields.get('a')), '1')
      assert.deepEqual(await store.outbox('h'), [])
      await store.close()
    })

    test('acknowledged records leave the outbox, the others stay in order', async () => {
      const store = await create()
      await store.save('h', write(0, { outbox: ['x', 'y', 'z'].map(record) }))
      await store.acknowledge('h', ['y', 'not there'])
      assert.deepEqual(
        (await store.outbox('h')).map(({ id }) => id),
        ['x', 'z'],
      )
      await store.close()
    })

    test('expiry follows the time that the caller gives', async () => {
      const store = await create()
      const put = new Map([
        ['old', field('1', 10)],
        ['new', field('2', 20)],
      ])
      await store.save('h', write(0, { put }))
      assert.equal(await store.expire('h', 15), 1)
      assert.deepEqual([...(await store.load('h')).fields.keys()], ['new'])
      await store.close()
    })
  })
}
