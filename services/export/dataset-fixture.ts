import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabeledSession } from '#schemas'
import type { DatasetOptions } from './dataset.ts'
import { jsonLinesTable } from './json-lines-table.ts'

/** A dataset of JSON lines, which tests can read without a format's reader. */
export const optionsOf = (folder: string): DatasetOptions => ({
  ...{ folder, format: jsonLinesTable(false), selection: {}, privacy: {}, tool: 'test' },
  wanted: () => true,
})

/** The rows of a folder of JSON lines, in order of their files. */
export const rowsIn = (folder: string): LabeledSession[] =>
  globSync('**/*.jsonl', { cwd: folder })
    .sort()
    .flatMap(name => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'))
    .map(line => JSON.parse(line))
