import { after, before, suite } from 'node:test'
import { storeContract } from './contract.ts'
import { RedisStore } from './redis.ts'
import { matcherRules, type RedisServer, skipWithoutRedis, startCluster, startRedis } from './redis-server.ts'
import { compileRedisSettings } from './redis-settings.ts'

const urlOf = ({ port }: RedisServer) => `redis://127.0.0.1:${port}`

suite('one Redis', { skip: skipWithoutRedis }, () => {
  let server: RedisServer
  before(async () => {
    server = await startRedis()
  })
  after(() => server?.stop())

  storeContract('Redis', async () => {
    server.cli('flushall')
    return new RedisStore(compileRedisSettings({ redisUrl: [urlOf(server)] }))
  })
})

suite('Redis Cluster of 6 nodes', { skip: skipWithoutRedis }, () => {
  let nodes: RedisServer[] = []
  before(async () => {
    nodes = await startCluster()
    const rules = ['on', '>password', ...matcherRules, '+cluster']
    for (const { cli } of nodes) cli('acl', 'setuser', 'matcher', ...rules)
  })
  after(() => Promise.all(nodes.map(node => node.stop())))

  storeContract('Redis Cluster, as a user of few rights', async () => {
    for (const master of nodes.slice(0, 3)) master.cli('flushall')
    const user = { redisUsername: 'matcher', redisPassword: 'password' }
    return new RedisStore(compileRedisSettings({ redisUrl: [urlOf(nodes[5]!)], redisCluster: true, ...user }))
  })
})
