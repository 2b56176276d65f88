import assert from 'node:assert/strict'
import { after, before, suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProclabelError } from '../errors.ts'
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts'
import { RedisStore } from './redis.ts'
import { freePort, type RedisServer, skipWithoutRedis, startCluster, startRedis, until } from './redis-server.ts'
import { compileRedisSettings } from './redis-settings.ts'
import type { HostWrite, Version } from './store.ts'

const timeoutMs = 2000

/** A store that is closed with the test. */
function connectTo(t: TestContext, ports: readonly number[], redisTimeout = timeoutMs): RedisStore {
  const store = new RedisStore(
    compileRedisSettings({ redisUrl: ports.map(port => `redis://127.0.0.1:${port}`), redisTimeout }),
  )
  t.after(() => store.close())
  return store
}

const write = (expectedVersion: Version, value: string): HostWrite => ({
  expectedVersion,
  put: new Map([['a', Buffer.from(value)]]),
  outbox: [{ id: value, topic: 't', key: 'k', value: Buffer.from(value) }],
})

const isAway = (error: unknown) =>
  error instanceof ProclabelError && error.code === 'PROCLABEL_STORE' && error.retryable

/** The state as another connection sees it. */
async function stateOf(t: TestContext, { port }: RedisServer, hostId: string) {
  const store = connectTo(t, [port])
  const { version, fields } = await store.load(hostId)
  const outbox = await store.outbox(hostId)
  return { version, a: fields.get('a') && String(Buffer.from(fields.get('a')!)), ids: outbox.map(({ id }) => id) }
}

suite('Redis that fails', { skip: skipWithoutRedis }, () => {
  let server: RedisServer
  let proxy: CuttingProxy
  before(async () => {
    server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always'])
    proxy = await startCuttingProxy(server.port)
  })
  after(async () => {
    await proxy?.close()
    await server?.stop()
  })
  test('a save whose answer was lost is written once and answers with its version', async t => {
    const store = connectTo(t, [proxy.port])
    let version = await store.save('lost answer', write('0', 'first'))
    const lostBefore = proxy.lost
    for (let i = 0; i < 20; i++) {
      proxy.loseNextAnswer()
      const epoch = store.epoch
      const next = await store.save('lost answer', write(version!, `${i}`))
      assert.notEqual(next, null, 'not fenced by itself')
      assert.ok(store.epoch > epoch)
      version = next
    }
    assert.equal(proxy.lost - lostBefore, 20)
    assert.equal(Number.parseInt(version!, 10), 21, 'every save counted once')
    const ids = ['first', ...Array.from({ length: 20 }, (_, i) => `${i}`)]
    assert.deepEqual(await stateOf(t, server, 'lost answer'), { version, a: '19', ids })
  })

  test('of saves under way when the connection is cut each is written once', async t => {
    const store = connectTo(t, [proxy.port])
    const hosts = Array.from({ length: 50 }, (_, i) => `under way ${i}`)
    const versions = new Map<string, Version>(hosts.map(host => [host, '0']))
    for (let round = 1; round <= 20; round++) {
      const saves = hosts.map(async host => {
        const version = await store.save(host, write(versions.get(host)!, `${round}`))
        assert.notEqual(version, null)
        versions.set(host, version!)
      })
      setTimeout(proxy.cut, Math.random() * 5)
      await Promise.all(saves)
    }
    for (const host of hosts) {
      const { version, ids } = await stateOf(t, server, host)
      assert.equal(version, versions.get(host))
      assert.equal(Number.parseInt(version, 10), 20)
      assert.deepEqual(
        ids,
        Array.from({ length: 20 }, (_, i) => `${i + 1}`),
      )
    }
  })

  test('reads and acknowledgements survive a cut too', async t => {
    const store = connectTo(t, [proxy.port])
    const version = await store.save('cut', write('0', 'x'))
    proxy.loseNextAnswer()
    assert.equal((await store.load('cut')).version, version)
    proxy.loseNextAnswer()
    await store.acknowledge('cut', ['x'])
    proxy.loseNextAnswer()
    assert.deepEqual(await store.outbox('cut'), [])
  })

  test('a restart with its data: calls wait for it, and the epoch goes up once', async t => {
    const store = connectTo(t, [server.port], 10_000)
    const version = await store.save('restart', write('0', 'x'))
    const epoch = store.epoch
    const restarted = server.restart()
    const next = await store.save('restart', write(version!, 'y'))
    await restarted
    assert.equal(store.epoch, epoch + 1)
    assert.deepEqual(await stateOf(t, server, 'restart'), { version: next, a: 'y', ids: ['x', 'y'] })
  })

  test('a Redis that hangs: the call throws in time; the same save later is written once', async t => {
    const store = connectTo(t, [server.port])
    const version = await store.save('hangs', write('0', 'x'))
    const second = write(version!, 'y')
    server.signal('SIGSTOP')
    const began = performance.now()
    await assert.rejects(store.save('hangs', second), isAway)
    assert.ok(performance.now() - began < timeoutMs * 1.2)
    server.signal('SIGCONT')
    const next = await store.save('hangs', second)
    assert.equal(Number.parseInt(next!, 10), 2)
    assert.deepEqual(await stateOf(t, server, 'hangs'), { version: next, a: 'y', ids: ['x', 'y'] })
  })

  test('a Redis that is not there: the call throws in time and says why; a closed store at once', async t => {
    const port = await freePort()
    const store = connectTo(t, [port])
    const began = performance.now()
    await assert.rejects(store.load('h'), error => isAway(error) && /ECONNREFUSED/.test((error as Error).message))
    const took = performance.now() - began
    assert.ok(took >= timeoutMs * 0.7 && took < timeoutMs * 1.2, `${took} ms`)
    await store.close()
    await assert.rejects(store.load('h'), { code: 'PROCLABEL_STORE', retryable: false })
  })

  test('a full Redis takes nothing of a write, deletes neither', async t => {
    const store = connectTo(t, [server.port])
    const version = await store.save('full', write('0', 'x'))
    const before = await stateOf(t, server, 'full')
    server.cli('config', 'set', 'maxmemory', '1')
    const change = { ...write(version!, 'y'), put: new Map([['a', null]]) }
    await assert.rejects(store.save('full', change), error => isAway(error) && /OOM/.test((error as Error).message))
    server.cli('config', 'set', 'maxmemory', '0')
    assert.deepEqual(await stateOf(t, server, 'full'), before)
    const next = await store.save('full', change)
    assert.deepEqual(await stateOf(t, server, 'full'), { version: next, a: undefined, ids: ['x', 'y'] })
  })

  test('scripts flushed from Redis are sent again', async t => {
    const store = connectTo(t, [server.port])
    const version = await store.save('flushed', write('0', 'x'))
    server.cli('script', 'flush')
    assert.notEqual(await store.save('flushed', write(version!, 'y')), null)
  })

  test('a store that lost its last write is not mistaken for the one written to', async t => {
    const [zombie, other] = [connectTo(t, [server.port]), connectTo(t, [server.port])]
    const first = await zombie.save('loss', write('0', 'x'))
    const lost = await zombie.save('loss', write(first!, 'y'))
    // As after a failover to a replica that had not received it: the first write's state is back.
    server.cli('hset', 'proclabel:{loss}:state', '', first!, 'a', 'x')
    const since = await other.save('loss', write(first!, 'z'))
    assert.equal(Number.parseInt(since!, 10), Number.parseInt(lost!, 10), 'the same count')
    assert.equal(await zombie.save('loss', write(lost!, 'w')), null)
    assert.equal((await stateOf(t, server, 'loss')).a, 'z')
  })

  test('keys carry a time to live of 30 days, renewed by writes', async t => {
    const store = connectTo(t, [server.port])
    const version = await store.save('ttl', write('0', 'x'))
    const ttlOf = (part: string) => Number(server.cli('ttl', `proclabel:{ttl}:${part}`))
    const days30 = 30 * 24 * 3600
    for (const part of ['state', 'outbox']) {
      assert.ok(ttlOf(part) > days30 - 60 && ttlOf(part) <= days30)
      server.cli('expire', `proclabel:{ttl}:${part}`, '100')
    }
    await store.save('ttl', { ...write(version!, 'y'), outbox: [] })
    for (const part of ['state', 'outbox']) assert.ok(ttlOf(part) > 100)
  })
})

suite('Redis Cluster that fails', { skip: skipWithoutRedis }, () => {
  let nodes: RedisServer[] = []
  const hosts = Array.from({ length: 30 }, (_, i) => `host ${i}`)
  const connectToCluster = (t: TestContext) =>
    connectTo(
      t,
      nodes.map(({ port }) => port),
      12_000,
    )
  const saveAll = async (store: RedisStore, versions: Map<string, Version>, value: string) => {
    const saves = hosts.map(async host => [host, await store.save(host, write(versions.get(host)!, value))] as const)
    return new Map(await Promise.all(saves))
  }

  before(async () => {
    nodes = await startCluster()
  })
  after(() => Promise.all(nodes.map(node => node.stop())))

  test('a failover by hand: every save is taken once, and the epoch goes up', async t => {
    const store = connectToCluster(t)
    const first = await saveAll(store, new Map(hosts.map(host => [host, '0'])), 'x')
    assert.ok([...first.values()].every(version => version !== null))
    const epoch = store.epoch
    const replica = nodes.find(({ cli }) => cli('role').startsWith('slave'))!
    replica.cli('cluster', 'failover')
    await until('the replica is master', () => replica.cli('role').startsWith('master'))
    const second = await saveAll(store, first as Map<string, Version>, 'y')
    for (const [host, version] of second) assert.equal(Number.parseInt(version ?? '', 10), 2, host)
    await sleep(500)
    assert.ok(store.epoch > epoch)
  })

  test('a master that hangs and loses its place: calls wait for the failover, and the epoch goes up', async t => {
    const store = connectToCluster(t)
    const first = new Map([...(await store.loadMany(hosts))].map(([host, { version }]) => [host, version]))
    const epoch = store.epoch
    const master = nodes.find(({ cli }) => cli('role').startsWith('master'))!
    await until('replicas have it all', () =>
      nodes.every(({ cli }) => !cli('info', 'replication').includes('master_link_status:down')),
    )
    master.signal('SIGSTOP')
    try {
      const second = await saveAll(store, first, 'z')
      for (const [host, version] of second) assert.notEqual(version, null, host)
      assert.ok(store.epoch > epoch)
    } finally {
      master.signal('SIGCONT')
    }
  })
})
