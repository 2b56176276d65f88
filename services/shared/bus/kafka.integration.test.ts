import { after, before } from 'node:test'
import { sharedStack } from '../../e2e/stack/shared-stack.ts'
import { busContract } from './contract.ts'
import { KafkaBus } from './kafka.ts'
import { createTopics } from './kafka-fixture.ts'

let stack: Awaited<ReturnType<typeof sharedStack>>
before(async () => {
  stack = await sharedStack({ kafka: true })
})
after(() => stack.stop())

busContract('Kafka', async topics => {
  await createTopics(stack.brokers, topics, 3)
  return new KafkaBus({ brokers: stack.brokers, clientId: 'contract' })
})
