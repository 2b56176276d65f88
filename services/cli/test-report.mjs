/** What `npm test` prints of node:test: a line a file, each failure in full, each skip with its reason. */
import { relative } from 'node:path'
import process from 'node:process'
import { inspect } from 'node:util'

/** Prints the events of `run()` as they come; resolves with the counts of all files and the names of what failed. */
export async function report(events, root) {
  const total = { passed: 0, failed: 0, skipped: 0, failures: [] }
  const handlers = {
    'test:pass': ({ name, file, skip, details }) => {
      if (details.type === 'suite') return
      if (skip === undefined) {
        total.passed += 1
      } else {
        total.skipped += 1
        console.log(`- SKIP ${relative(root, file)}: ${name}${typeof skip === 'string' ? ` (${skip})` : ''}`)
      }
    },
    'test:fail': ({ name, file, details: { type, error } }) => {
      const ownFailure = error.failureType !== 'subtestsFailed' // else a child failed, and has been shown
      if (ownFailure) console.log(`✖ ${relative(root, file)}: ${name}\n${inspect(error.cause ?? error)}\n`)
      if (ownFailure || type !== 'suite') {
        total.failed += 1
        total.failures.push(`${relative(root, file)}: ${name}`)
      }
    },
    'test:summary': ({ file, counts, duration_ms, success }) => {
      if (file === undefined) return // the sum over all files
      const failed = counts.failed + counts.cancelled
      const outcome = `${counts.passed} passed${failed > 0 ? `, ${failed} failed` : ''}`
      console.log(`${success ? '✔' : '✖'} ${relative(root, file)}: ${outcome} (${(duration_ms / 1000).toFixed(1)} s)`)
    },
    'test:stdout': ({ message }) => process.stdout.write(message),
    'test:stderr': ({ message }) => process.stderr.write(message),
  }
  for await (const { type, data } of events) handlers[type]?.(data)
  return total
}
