/** `npm run stack`: runs the stack until it is told to stop, or whoever started it is gone. */
import { parseArgs } from 'node:util'
import { callerIsGone } from './caller.ts'
import { stackEnvironment } from './shared-stack.ts'
import { startStack } from './stack.ts'

const callerCheckMs = 500

const { values } = parseArgs({
  options: {
    secured: { type: 'boolean', default: false },
    brokers: { type: 'string', default: '1' },
    cluster: { type: 'boolean', default: false },
    user: { type: 'string', multiple: true, default: [] },
  },
})
if (values.brokers !== '1' && values.brokers !== '3') throw new Error(`--brokers must be 1 or 3, got ${values.brokers}`)

const stopping = Promise.withResolvers<void>()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stopping.resolve())
const callerCheck = setInterval(() => callerIsGone() && stopping.resolve(), callerCheckMs)

const starting = startStack({
  kafka: true,
  registry: true,
  redis: values.cluster ? 'cluster' : true,
  secured: values.secured,
  users: values.user,
  brokers: values.brokers === '1' ? 1 : 3,
})
process.stderr.write('stack: starting Kafka, a schema registry and Redis\n')
const { kafka, registry, redis, folder, stop } = await starting
const addresses = { brokers: kafka!.brokers, registryUrl: registry!.url, redisUrl: redis!.urls.join(',') }
for (const [name, value] of Object.entries(stackEnvironment(addresses))) console.log(`${name}=${value}`)
if (kafka!.secured) console.log(`PROCLABEL_STACK_KAFKA_MTLS=${kafka!.secured.mutualTls.join(',')}`)
process.stderr.write(`stack: ready; data, logs and secrets are in ${folder}; Ctrl-C stops it\n`)
await stopping.promise
clearInterval(callerCheck)
await stop()
