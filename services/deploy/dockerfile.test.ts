import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { contextFilter, parseCopy, parseDockerfile, parseEnv } from './dockerfile.ts'

test('stages, continuation lines, comments between them', () => {
  const stages = parseDockerfile(
    '# one\nFROM a AS build\n# two\nRUN x \\\n# three\n && y\nFROM b\nCOPY --from=build /x /y z/\n',
  )
  assert.deepEqual(
    stages.map(({ from, name }) => [from, name]),
    [
      ['a', 'build'],
      ['b', null],
    ],
  )
  assert.equal(stages[0]!.instructions[0]!.text.replaceAll(/\s+/g, ' '), 'x && y')
  assert.deepEqual(parseCopy(stages[1]!.instructions[0]!.text), { from: 'build', sources: ['/x', '/y'], target: 'z/' })
  assert.deepEqual(parseEnv('A=b  C=:1'), { A: 'b', C: ':1' })
})

test('the context holds what the image needs and no tests, no secrets, no builds', () => {
  const sent = contextFilter(readFileSync(new URL('../../.dockerignore', import.meta.url), 'utf8'))
  for (const path of [
    'package.json',
    'services/cli/main.ts',
    'native/src/slice.hh',
    'schemas/index.ts',
    'LICENSE',
    'services/deploy/healthcheck.mjs',
    'services/lab/score.ts',
  ])
    assert.ok(sent(path), path)
  for (const path of [
    '.git/config',
    'README.md',
    'node_modules/x',
    'services/e2e/bench/poll.ts',
    'services/cli/label.test.ts',
    'native/build/Release/x.node',
    'services/deploy/secrets/ca.key',
    'services/deploy/docs/main.ts',
    'services/lab/day/main.ts',
  ])
    assert.ok(!sent(path), path)
})
