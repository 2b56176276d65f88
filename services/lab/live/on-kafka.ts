import { setTimeout as sleep } from 'node:timers/promises'
import { defaultConstants } from '#core/constants.ts'
import { codecs, PacketBatchBuilder, partitionKey } from '#schemas'
import { countRecords, readTopics } from '../../e2e/lab/read-topics.ts'
import { bringPorts } from '../../e2e/lab/relay.ts'
import { Services } from '../../e2e/lab/services.ts'
import { inputTopics } from '../../matcher/matcher.ts'
import { differences } from '../differences.ts'
import { KafkaPipeline } from '../kafka-pipeline.ts'
import type { Score } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import { LoadWatch } from './load.ts'
import { type LabOptions, type LabRecord, type Observe, runLab } from './run.ts'
import { hosts } from './switch.ts'

/** So long the mirror port is said to be silent behind the traffic: every session has ended then. */
const silenceUs = 400_000_000

export interface LabOnKafka {
  lab: LabRecord
  /** As the services told it, live. */
  onKafka: Score
  /** The records that agents and capture published, labeled again in one process. */
  inOneProcess: Score
}

/**
 * The lab observed by the services: `proclabel agent` on each host and `proclabel capture` on the mirror port publish to a
 * Kafka of this machine, and two matchers and a resolver label while the programs run.
 */
export async function runLabOnKafka(options: LabOptions): Promise<LabOnKafka> {
  const pipeline = await KafkaPipeline.start()
  try {
    const { services, bus } = pipeline
    await pipeline.startLabeling()
    const lab = await runLab(options, publishing(pipeline))
    await endSessions(pipeline)
    const inputs = (await readTopics(services, bus, inputTopics)).map(({ input }) => input)
    const inOneProcess = await scoreInputs({ truth: () => lab.truth, inputs: () => inputs }, defaultConstants)
    const score = async () => (await pipeline.score(lab.truth)).score
    await pipeline.untilTold(async () => differences(await score(), inOneProcess).length === 0)
    const onKafka = await score()
    await services.stopAll()
    return { lab, onKafka, inOneProcess }
  } finally {
    await pipeline.stop()
  }
}

/** An agent on each host, and then the capture, once it can know all hosts. */
const publishing =
  ({ stack, services }: KafkaPipeline): Observe =>
  async (lab, { folder, events }) => {
    const { network, mirror } = lab
    const ports = stack.kafka!.brokers.map(broker => Number(broker.split(':').at(-1)))
    const closePorts = await Promise.all([...hosts, mirror].map(side => bringPorts(network, side, folder, ports)))
    const producers = new Services(stack, network)
    const spool = (of: string) => ['--spool', `${folder}/spool-${of}`]
    const agents = await Promise.all(
      hosts.map(host =>
        producers.start('agent', ['--host', host, '--events', events, ...spool(host)], 'polling sockets', host),
      ),
    )
    const watch = new LoadWatch(hosts.map((host, i) => [host, agents[i]!.child.pid!]))
    while ((await countRecords(services, ['hosts'])) < hosts.length) await sleep(100)
    const from = ['--interface', 'eth0', '--sensor', 'mirror', ...spool('mirror')]
    await producers.start('capture', from, 'capturing', mirror)
    return async () => {
      const load = watch.read()
      await producers.stopAll()
      for (const close of closePorts) close()
      return load
    }
  }

async function endSessions({ bus }: KafkaPipeline): Promise<void> {
  const until_us = Date.now() * 1000 + silenceUs
  const silence = { sensor_id: 'silence', run_id: 'silence', seq: 0, until_us, lost: 0, names: [], dns: [] }
  const records = hosts.map(host_id => ({
    key: partitionKey(host_id),
    value: codecs.packets.encode(new PacketBatchBuilder().build({ host_id, ...silence })),
  }))
  await bus.publish('packets', records)
}
