import type { Command } from 'commander'
import { wholeNumber } from './whole-number.ts'

/** The options of RedisSettings, for the services that keep state. */
export const redisOptions = (command: Command): Command =>
  command
    .requiredOption('--redis-url <url...>', 'redis://host:port, or rediss:// with TLS; several are nodes of a cluster')
    .option('--redis-cluster', 'the server is a Redis Cluster')
    .option('--redis-username <name>', 'ACL user')
    .option('--redis-password <password>', 'better in PROCLABEL_REDIS_PASSWORD than on the command line')
    .option('--redis-password-file <file>', 'file that holds the password')
    .option('--redis-ca-file <file>', 'certificate authority, PEM')
    .option('--redis-cert-file <file>', 'client certificate, PEM')
    .option('--redis-key-file <file>', 'its key, PEM')
    .option('--redis-timeout <ms>', 'how long a call waits for Redis', wholeNumber(100, 600_000), 10_000)
