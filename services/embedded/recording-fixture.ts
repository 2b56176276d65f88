import { fileURLToPath } from 'node:url'
import { HostDirectory } from '#core/host-directory.ts'
import { codecs, partitionKey, type Topic } from '#schemas'
import { Capture } from '../capture/capture.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { openSocketLogs } from './socket-logs.ts'

const sample = (name: string) => fileURLToPath(new URL(`sample/${name}`, import.meta.url))

export interface RecordedInput {
  topic: Topic
  key: string
  value: Buffer
}

/** The bundled recording of one host as its services would have published it, in order of time. */
export async function recordedInputs(): Promise<{ hostId: string; inputs: RecordedInput[] }> {
  const logs = await openSocketLogs([sample('sockets.jsonl.gz')], null)
  const hostId = logs.hosts[0]!.host_id
  const key = partitionKey(hostId)
  const directory = new HostDirectory()
  directory.apply(logs.hosts[0]!)
  const source = await openCapture(sample('capture.pcap.gz'))
  const capture = new Capture({ sensorId: 's', runId: 'r', hosts: directory, keepUnmonitored: false })
  const inputs: { timeUs: number; input: RecordedInput }[] = []
  const add = (timeUs: number, topic: Topic, value: Buffer) => inputs.push({ timeUs, input: { topic, key, value } })
  for await (const block of source.blocks())
    for (const batch of capture.add(block)) add(batch.until_us, 'packets', codecs.packets.encode(batch))
  for (const batch of capture.flush()) add(batch.until_us, 'packets', codecs.packets.encode(batch))
  await source.close()
  for await (const { topic, timeUs, value } of logs.records()) add(timeUs, topic, value)
  inputs.sort((a, b) => a.timeUs - b.timeUs)
  return { hostId, inputs: inputs.map(({ input }) => input) }
}
