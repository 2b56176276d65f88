import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Command } from 'commander'
import { addSettings } from './settings.ts'
import { wholeNumber } from './whole-number.ts'

/** The options that a command gets from these arguments, this file and the environment. */
function parse(t: TestContext, args: string[], settings: unknown, variables: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-settings-'))
  t.after(() => {
    rmSync(folder, { recursive: true })
    for (const name of Object.keys(variables)) delete process.env[name]
  })
  Object.assign(process.env, variables)
  const file = join(folder, 'settings.json')
  writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings))
  let options: unknown
  const command = new Command('run')
    .requiredOption('--out <folder>', '')
    .option('--poll-period <ms>', '', wholeNumber(1, 1000), 50)
    .option('--sockets <log...>', '')
    .option('--quiet', '')
    .action(given => {
      options = given
    })
  const program = new Command().exitOverride().addCommand(command)
  addSettings(program)
  program.parse(['--config', file, 'run', ...args], { from: 'user' })
  return options
}

test('a file sets options, also required ones', t => {
  const settings = { out: 'x', 'poll-period': 20, sockets: ['a', 'b'], quiet: true }
  assert.deepEqual(parse(t, [], settings), { out: 'x', pollPeriod: 20, sockets: ['a', 'b'], quiet: true })
})

test('a variable counts before the file, a flag before both', t => {
  const variables = { PROCLABEL_POLL_PERIOD: '30', PROCLABEL_OUT: 'variable' }
  const options = parse(t, ['--out', 'flag'], { out: 'file', 'poll-period': 20 }, variables)
  assert.deepEqual(options, { out: 'flag', pollPeriod: 30 })
})

test('a variable that is a list or a switch', t => {
  const options = parse(t, ['--out', 'x'], {}, { PROCLABEL_SOCKETS: 'a,b', PROCLABEL_QUIET: 'true' })
  assert.deepEqual(options, { out: 'x', pollPeriod: 50, sockets: ['a', 'b'], quiet: true })
  assert.throws(() => parse(t, [], {}, { PROCLABEL_QUIET: 'perhaps' }), {
    message: /PROCLABEL_QUIET: must be true or false, got '"perhaps"'/,
  })
})

test('every wrong setting is named in one sentence', t => {
  const settings = { out: 'x', 'poll-period': 0, quiet: 'yes', colour: 1 }
  assert.throws(() => parse(t, [], settings), {
    code: 'PROCLABEL_CONFIG',
    message: /poll-period: expected a whole number from 1 to 1000\.; quiet: must be true or false.*'colour'/,
  })
  assert.throws(() => parse(t, [], '[1]'), { message: /cannot read settings from .*: not an object/ })
})

test('options of a command below a command are set the same way', t => {
  t.after(() => delete process.env.PROCLABEL_PARTITIONS)
  process.env.PROCLABEL_PARTITIONS = '6'
  let options: unknown
  const apply = new Command('apply').option('--partitions <n>', '', wholeNumber(1, 1000), 48).action(given => {
    options = given
  })
  const program = new Command().exitOverride().addCommand(new Command('topics').addCommand(apply))
  addSettings(program)
  program.parse(['topics', 'apply'], { from: 'user' })
  assert.deepEqual(options, { partitions: 6 })
})
