import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { Command } from 'commander'
import { configurationReference, constantEntries } from './configuration.ts'
import { documents } from './main.ts'
import { assumed, measured, sizeFor } from './sizing.ts'

test('every document is what the code makes of it: else run services/deploy/docs/main.ts', async () => {
  for (const [file, text] of Object.entries(await documents())) assert.equal(readFileSync(file, 'utf8'), text, file)
})

test('options of several commands stand once, with the commands; others with theirs', () => {
  const make = (name: string) =>
    new Command(name)
      .description(`does ${name}`)
      .requiredOption('--brokers <address...>', 'where')
      .option(`--${name}-only <n>`, 'a | b', '7')
      .option(`--${name}-host <id>`, 'who', 'here')
  const text = configurationReference({
    commands: [make('one'), make('two')],
    variableOf: option => `X_${option.name()}`,
    constants: [],
    machineName: 'here',
  })
  assert.ok(text.includes('| `--brokers <address...>` | `X_brokers` | **required** | where | one, two |'))
  assert.equal(text.match(/\| `--brokers/g)?.length, 1)
  assert.ok(text.includes('## proclabel two\n\nDoes two.'))
  assert.ok(text.includes('| `--two-only <n>` | `X_two-only` | `7` | a \\| b |'))
  assert.ok(text.includes("`X_two-host` | the machine's name |"))
})

test('a constant without a comment is refused', () => {
  const source = '  /** What a is. */\n  a: number\n  b: number\n'
  assert.deepEqual(constantEntries(source, { a: 1 }, { a: 2 }), [
    { name: 'a', meaning: 'What a is.', byDefault: 1, paper: 2 },
  ])
  assert.throws(() => constantEntries(source, { a: 1, b: 2 }, {}), /constant b has no comment/)
})

test('a size by hand: the load that was measured needs twice the cores that it took', () => {
  const { cores, sessionsPerSecond, redisBytes } = sizeFor(measured.hosts, measured.packetsPerSecond / measured.hosts)
  const near = (value: number, expected: number) => assert.ok(Math.abs(value - expected) < 1e-9 * expected, `${value}`)
  near(cores.matcher, (2 * 300_000 * 3.47) / 1e6)
  near(cores.broker, (2 * 300_000 * 0.91) / 1e6)
  near(sessionsPerSecond, 300_000 / 60)
  near(redisBytes, (300_000 / 60) * 80 * 242)
  assert.equal(sizeFor(10).packetsPerSecond, 10 * assumed.packetsPerHost)
})
