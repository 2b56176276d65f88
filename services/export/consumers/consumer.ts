/**
 * Follows labeled sessions, in an own project: `npm install kafkajs @kafkajs/confluent-schema-registry`, then `node consumer.ts`.
 * Prints a line for each closed session, and another when a later revision changes it.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import kafkajs from 'kafkajs'

const { CompressionCodecs, CompressionTypes, Kafka } = kafkajs
const {
  PROCLABEL_BROKERS: brokers = '127.0.0.1:29092',
  PROCLABEL_REGISTRY: registryUrl = 'http://127.0.0.1:8081/apis/ccompat/v7',
  PROCLABEL_KAFKA_CA_FILE: caFile,
  PROCLABEL_KAFKA_USERNAME: username,
  PROCLABEL_KAFKA_PASSWORD_FILE: passwordFile,
} = process.env

// The broker compresses this topic with zstd, which kafkajs does not bring.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
})

// kafkajs issue 1751: with nothing to send it sets timers that lie in the past, of which Node 24 warns.
const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')
const schedule = RequestQueue.prototype.scheduleCheckPendingRequests
RequestQueue.prototype.scheduleCheckPendingRequests = function () {
  if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
}

const kafka = new Kafka({
  brokers: brokers.split(','),
  clientId: 'my-consumer',
  ...(caFile && { ssl: { ca: [readFileSync(caFile, 'utf8')] } }),
  ...(username &&
    passwordFile && {
      sasl: { mechanism: 'scram-sha-512', username, password: readFileSync(passwordFile, 'utf8').trim() },
    }),
})
const registry = new SchemaRegistry({ host: registryUrl })
// Members of one group share the sessions. The group's offsets are kept: started again, it goes on where it was.
const consumer = kafka.consumer({ groupId: 'my-consumer' })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.disconnect())

await consumer.connect()
await consumer.subscribe({ topic: 'labeled-sessions', fromBeginning: true })
await consumer.run({
  eachMessage: async ({ message: { value } }) => {
    if (value === null) return
    const session = await registry.decode(value)
    if (session.state !== 'closed') return
    // The same session_id may come again, with the same revision or a later one: the highest is what counts.
    const { session_id, revision, host_id, label, unknown_cause, stage, remote_ip, remote_port } = session
    const who = label?.process ?? `unknown (${unknown_cause})`
    console.log([session_id, revision, host_id, who, stage, `${remote_ip} ${remote_port}`].join('\t'))
  },
})
