import process from 'node:process'

/** Aborts at the first SIGINT or SIGTERM, or after `durationS` seconds; a second signal ends the process as usual. */
export function stopSignal(durationS: number | undefined): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  if (durationS !== undefined) setTimeout(() => stop.abort(), durationS * 1000).unref()
  return stop.signal
}
