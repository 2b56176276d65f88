import { logLevel as kafkaLevel, type logCreator } from 'kafkajs'
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino'

export type Log = Logger
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/**
 * The log of a service: one event a line as JSON on standard error, written before the call returns, so that the last
 * line of a process that dies is there. Messages are fixed texts; what varies goes into fields, an error into `error`.
 */
export function createLog(service: string, level: LogLevel, stream: DestinationStream = standardError()): Log {
  return pino(
    {
      level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      serializers: { error: describeError },
    },
    stream,
  )
}

/** Throws nothing away and buffers nothing: a log line is worth the wait. */
const standardError = () => destination({ dest: 2, sync: true })

/** What of an error goes into the log. Other members do not: those of a client may hold a password or a whole record. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const { name, message, stack, cause } = error
  const code = (error as NodeJS.ErrnoException).code
  return {
    name,
    ...(code !== undefined && { code }),
    message,
    stack,
    ...(cause != null && { cause: describeError(cause) }),
  }
}

/** Fields of kafkajs's own events that tell where something happened; the rest may be long. */
const kafkaFields = [
  'broker',
  'clientId',
  'groupId',
  'memberId',
  'topic',
  'partition',
  'error',
  'retryCount',
  'retryTime',
]
const kafkaMethods = {
  [kafkaLevel.NOTHING]: 'trace',
  [kafkaLevel.ERROR]: 'error',
  [kafkaLevel.WARN]: 'warn',
  [kafkaLevel.INFO]: 'info',
  [kafkaLevel.DEBUG]: 'debug',
} as const

/** Lets kafkajs log through ours: `new Kafka({ logCreator: kafkaLogs(log), ... })`. */
export function kafkaLogs(log: Log): logCreator {
  return () =>
    ({ level, namespace, log: event }) => {
      const fields = Object.fromEntries(
        kafkaFields.flatMap(name => (event[name] === undefined ? [] : [[name, event[name]]])),
      )
      log[kafkaMethods[level]]({ client: 'kafkajs', namespace, ...fields }, event.message)
    }
}
