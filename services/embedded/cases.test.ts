import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cases } from './cases/all.ts'
import { inputsOf, labelCase } from './cases/run-case.ts'

const root = fileURLToPath(new URL('cases', import.meta.url))
const folderOf = (name: string) => path.join(root, name)

describe('golden cases', () => {
  for (const one of cases) {
    test(one.name, async () => {
      const folder = folderOf(one.name)
      for (const [name, bytes] of inputsOf(one)) {
        assert.ok(readFileSync(path.join(folder, name)).equals(bytes), `${name} is not what make.ts writes now`)
      }
      const lines = (text: string) => text.trimEnd().split('\n')
      const expected = readFileSync(path.join(folder, 'expected.jsonl'), 'utf8')
      assert.deepEqual(lines(await labelCase(folder)), lines(expected))
    })
  }

  test('every folder is a case that is described', () => {
    const folders = readdirSync(root, { withFileTypes: true }).filter(entry => entry.isDirectory())
    assert.deepEqual(folders.map(({ name }) => name).sort(), cases.map(({ name }) => name).sort())
  })

  test('every stage and every unknown cause has a case', () => {
    const records = cases.flatMap(({ name }) =>
      readFileSync(path.join(folderOf(name), 'expected.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as { stage: string | null; unknown_cause: string | null }),
    )
    const shown = new Set(records.map(({ stage, unknown_cause }) => stage ?? unknown_cause))
    const causes = ['no-agent', 'agent-gap', 'capture-gap', 'too-short', 'ambiguous', 'nat', 'kernel', 'refused']
    const wanted = ['A', 'A2', 'B', 'C', 'D', 'F', 'N', ...causes, 'not-tcp-udp', 'no-socket']
    assert.deepEqual([...shown].sort(), wanted.sort())
  })
})
