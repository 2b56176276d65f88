import process from 'node:process'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import type { Log } from './log.ts'

/** A container gets 30 s from SIGTERM to SIGKILL; what is left is for the log line. */
const defaultDrainMs = 25_000
const keepAliveMs = 3_600_000

/**
 * Runs a service until it ends by itself, fails, or is told to stop; then ends the process. SIGTERM and SIGINT abort the
 * signal that `run` gets: it stops taking work, finishes what it has and returns, within `drainMs`. A second signal ends
 * the process at once. Whatever goes wrong is one log line and the exit status of its kind; else it is what `run` set, or 0.
 */
export async function runUntilStopped(
  run: (signal: AbortSignal) => Promise<void>,
  { log, drainMs = defaultDrainMs }: { log: Log; drainMs?: number },
): Promise<never> {
  const stop = new AbortController()
  // By process.exit: a client that still holds a timer must not keep a dead service alive.
  const fail = (error: unknown, message: string): never => {
    log.fatal({ error, exit_code: exitCodeOf(error) }, message)
    process.exit(exitCodeOf(error))
  }
  process.on('uncaughtException', error => fail(error, 'fault'))
  process.on('unhandledRejection', error => fail(error, 'fault'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) {
        log.warn({ signal }, 'ended at once')
        process.exit(exitCodes.brokenWorld)
      }
      log.info({ signal }, 'stopping')
      stop.abort()
      setTimeout(() => {
        log.error({ drain_ms: drainMs }, 'not drained in time')
        process.exit(exitCodes.brokenWorld)
      }, drainMs).unref()
    })
  }
  // Signal handlers do not keep a process alive; a service that waits for nothing else would just end.
  setInterval(() => {}, keepAliveMs)
  try {
    await run(stop.signal)
  } catch (error) {
    fail(error, 'failed')
  }
  log.info('stopped')
  process.exit(process.exitCode ?? exitCodes.done)
}
