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
const kafkaFields = ['broker', 'groupId', 'memberId', 'topic', 'partition', 'error', 'retryCount', 'retryTime']

/** Lets what kafkajs has to say come out as lines of ours: `new KafkaBus({ log: kafkaLog(log), ... })`. */
export function kafkaLog(log: Log) {
  return (level: 'error' | 'warn', message: string, fields: Readonly<Record<string, unknown>>): void => {
    const known = kafkaFields.flatMap(name => (fields[name] === undefined ? [] : [[name, fields[name]]]))
    log[level]({ client: 'kafkajs', ...Object.fromEntries(known) }, message)
  }
}
