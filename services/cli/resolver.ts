import { Command } from 'commander'
import { measuredStore } from '#shared/store/measured-store.ts'
import { RedisStore } from '#shared/store/redis.ts'
import { compileRedisSettings, type RedisSettings } from '#shared/store/redis-settings.ts'
import { runResolverService } from '../resolver/main.ts'
import { type MatchFlags, matchConstants, matchOptions } from './match-options.ts'
import { redisOptions } from './redis-options.ts'
import { runService, type ServiceFlags, serviceOptions } from './run-service.ts'
import { wholeNumber } from './whole-number.ts'

interface ResolverFlags extends ServiceFlags, MatchFlags, RedisSettings {
  partitions: number
}

export const resolverCommand = (): Command =>
  matchOptions(
    redisOptions(
      serviceOptions(
        new Command('resolver').description(
          'learns server names over all hosts, and answers for sessions without label',
        ),
      ),
    ),
  )
    .option('--partitions <n>', 'partitions of labeled-sessions, for the metrics', wholeNumber(1, 10_000), 48)
    .action(async (flags: ResolverFlags) => {
      const constants = await matchConstants(flags)
      const store = new RedisStore(compileRedisSettings(flags))
      await runService('resolver', flags, parts =>
        runResolverService({
          ...parts,
          store: measuredStore(store, { ...parts, health: parts.health.component('store') }),
          constants,
          partitions: flags.partitions,
        }),
      )
    })
