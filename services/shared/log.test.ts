import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { ProclabelError } from './errors.ts'
import { createLog, kafkaLog, type LogLevel } from './log.ts'

function gather(level: LogLevel = 'info') {
  const lines: string[] = []
  const log = createLog('matcher', level, { write: line => void lines.push(line) })
  return { log, lines, events: () => lines.map(line => JSON.parse(line)) }
}

test('one event is one line that names the service, its level in words and the time', () => {
  const { log, lines, events } = gather()
  log.info({ partition: 3, text: 'two\nlines' }, 'partition taken')
  log.debug('not at this level')
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /^[^\n]+\n$/)
  const [{ time, pid, ...event }] = events()
  assert.deepEqual(event, {
    level: 'info',
    service: 'matcher',
    partition: 3,
    text: 'two\nlines',
    msg: 'partition taken',
  })
  assert.equal(pid, process.pid)
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000)
})

test('an error is told with code and cause, without what else a client hung on it', () => {
  const { log, lines, events } = gather()
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', command: { args: ['s3cret'] } })
  log.error({ error: new ProclabelError('PROCLABEL_BUS', 'no broker', { cause }) }, 'bus failed')
  log.error({ error: 'a text' }, 'thrown')
  const [{ error }, thrown] = events()
  assert.deepEqual(
    [error.name, error.code, error.message, error.cause.code, error.cause.message, thrown.error],
    ['ProclabelError', 'PROCLABEL_BUS', 'no broker', 'ECONNREFUSED', 'refused', 'a text'],
  )
  assert.match(error.stack, /log\.test\.ts/)
  assert.ok(!lines.join('').includes('s3cret'))
})

test('what kafkajs has to say is one of our lines, of its fields only the known ones', () => {
  const { log, lines, events } = gather()
  const fields = {
    broker: '127.0.0.1:9092',
    error: 'connect ECONNREFUSED',
    stack: 'long',
    sasl: { password: 's3cret' },
  }
  kafkaLog(log)('warn', 'Connection error', fields)
  const { level, client, broker, error, msg } = events()[0]
  assert.deepEqual(
    [level, client, broker, error, msg],
    ['warn', 'kafkajs', '127.0.0.1:9092', 'connect ECONNREFUSED', 'Connection error'],
  )
  assert.ok(!lines.join('').includes('s3cret'))
})

test('the last line before the process ends is written', () => {
  const script = `
    const { createLog } = await import(${JSON.stringify(new URL('log.ts', import.meta.url).href)})
    const log = createLog('agent', 'info')
    for (let i = 0; i < 1000; i++) log.info({ i }, 'event')
    process.exit(3)`
  const { status, stderr, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  assert.equal(status, 3)
  assert.equal(stdout.length, 0)
  assert.equal(JSON.parse(stderr.toString().trimEnd().split('\n').at(-1)!).i, 999)
})
