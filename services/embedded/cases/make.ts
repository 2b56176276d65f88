import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { cases } from './all.ts'
import { inputsOf, labelCase } from './run-case.ts'

/**
 * Writes the folder of every case: `node services/embedded/cases/make.ts`. What is expected is what the program answers now:
 * read the difference, line by line, before it is committed.
 */
for (const one of cases) {
  const folder = path.join(import.meta.dirname, one.name)
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of inputsOf(one)) writeFileSync(path.join(folder, name), bytes)
  writeFileSync(path.join(folder, 'expected.jsonl'), await labelCase(folder))
}
