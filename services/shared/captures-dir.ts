import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The folder of the test captures (`captures/`, `expected/`, `check`, `process_truth/` are in it):
 * PROCLABEL_CAPTURES, or `../shared/captures` beside the repository. Null where it is absent, so that a test can
 * skip visibly; under CI=true that is an error instead, so that CI cannot pass by skipping.
 */
export function capturesDir(): string | null {
  const dir = process.env.PROCLABEL_CAPTURES ?? fileURLToPath(new URL('../../../shared/captures', import.meta.url))
  if (existsSync(dir)) return dir
  if (process.env.CI === 'true') throw new Error(`no test captures at ${dir}: set PROCLABEL_CAPTURES to their folder`)
  return null
}
