import { startStack } from './stack.ts'

/** Addresses of a running stack; what was not asked for is empty. */
export interface StackAddresses {
  brokers: string[]
  registryUrl: string
  redisUrl: string
}

type Wanted = { kafka?: true; registry?: true; redis?: true }

/** Environment variables by which `npm test` and `npm run stack` tell where their stack is. */
export function stackEnvironment({ brokers, registryUrl, redisUrl }: StackAddresses): Record<string, string> {
  return {
    PROCLABEL_STACK_KAFKA: brokers.join(','),
    PROCLABEL_STACK_REGISTRY: registryUrl,
    PROCLABEL_STACK_REDIS: redisUrl,
  }
}

/** Starts one of each; for those who share it. */
export async function startSharedStack(wanted: Wanted): Promise<StackAddresses & { stop: () => Promise<void> }> {
  const { kafka, registry, redis, stop } = await startStack(wanted)
  return { brokers: kafka?.brokers ?? [], registryUrl: registry?.url ?? '', redisUrl: redis?.urls[0] ?? '', stop }
}

/**
 * The stack that the environment tells of, else one of this process's own. Other tests use it at the same time: take
 * topics, groups and keys of your own, and leave its servers running.
 */
export async function sharedStack(wanted: Wanted): Promise<StackAddresses & { stop: () => Promise<void> }> {
  const { PROCLABEL_STACK_KAFKA = '', PROCLABEL_STACK_REGISTRY = '', PROCLABEL_STACK_REDIS = '' } = process.env
  const missing =
    (wanted.kafka && PROCLABEL_STACK_KAFKA === '') ||
    (wanted.registry && PROCLABEL_STACK_REGISTRY === '') ||
    (wanted.redis && PROCLABEL_STACK_REDIS === '')
  if (missing) return startSharedStack(wanted)
  return {
    brokers: PROCLABEL_STACK_KAFKA.split(','),
    registryUrl: PROCLABEL_STACK_REGISTRY,
    redisUrl: PROCLABEL_STACK_REDIS,
    stop: async () => {},
  }
}
