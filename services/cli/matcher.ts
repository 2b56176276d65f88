import { Command } from 'commander'
import { measuredStore } from '#shared/store/measured-store.ts'
import { RedisStore } from '#shared/store/redis.ts'
import { compileRedisSettings, type RedisSettings } from '#shared/store/redis-settings.ts'
import { runMatcherService } from '../matcher/main.ts'
import { type HostKeysFlags, hostKeysOption, openHostKeys } from './host-keys-option.ts'
import { type MatchFlags, matchConstants, matchOptions } from './match-options.ts'
import { redisOptions } from './redis-options.ts'
import { runService, type ServiceFlags, serviceOptions } from './run-service.ts'
import { wholeNumber } from './whole-number.ts'

interface MatcherFlags extends ServiceFlags, MatchFlags, RedisSettings, HostKeysFlags {
  partitions: number
}

export const matcherCommand = (): Command =>
  matchOptions(
    redisOptions(
      hostKeysOption(
        serviceOptions(new Command('matcher').description('joins packets and sockets, and publishes labeled sessions')),
      ),
    ),
  )
    .option('--partitions <n>', 'partitions of the input topics, for the metrics', wholeNumber(1, 10_000), 48)
    .action(async (flags: MatcherFlags) => {
      const constants = await matchConstants(flags)
      const store = new RedisStore(compileRedisSettings(flags))
      await runService('matcher', flags, parts =>
        runMatcherService({
          ...parts,
          store: measuredStore(store, { ...parts, health: parts.health.component('store') }),
          hostKeys: openHostKeys(flags, parts.log),
          constants,
          partitions: flags.partitions,
        }),
      )
    })
