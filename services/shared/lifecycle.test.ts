import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

const url = (file: string) => JSON.stringify(new URL(file, import.meta.url).href)
const prelude = `
  const { createLog } = await import(${url('log.ts')})
  const { runUntilStopped } = await import(${url('lifecycle.ts')})
  const { InputError, ProclabelError } = await import(${url('errors.ts')})
  const { setTimeout: sleep } = await import('node:timers/promises')
  const { once } = await import('node:events')
  const log = createLog('test', 'info')
`

/** Runs a service of its own process; `signals` are sent 100 ms apart once it has logged 'started'. */
async function run(body: string, signals: NodeJS.Signals[] = [], options = '{ log }') {
  const script = `${prelude}
    await runUntilStopped(async signal => { log.info('started'); ${body} }, ${options})`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  const events: { level: string; msg: string; error?: { code?: string; message: string; stack?: string } }[] = []
  for await (const line of createInterface(child.stderr!)) {
    events.push(JSON.parse(line))
    if (events.length > 1) continue
    for (const signal of signals) {
      child.kill(signal)
      await sleep(100)
    }
  }
  const [code] = await exited
  return { code, events, messages: events.map(({ msg }) => msg) }
}

const untilAborted = "await once(signal, 'abort');"

test('a signal lets the service finish what it has', async () => {
  const { code, messages } = await run(`${untilAborted} await sleep(200); log.info('drained')`, ['SIGTERM'])
  assert.deepEqual(messages, ['started', 'stopping', 'drained', 'stopped'])
  assert.equal(code, 0)
})

test('a service that ends by itself ends the process, whatever its clients still hold', async () => {
  const { code, messages } = await run('setInterval(() => {}, 1000)')
  assert.deepEqual(messages, ['started', 'stopped'])
  assert.equal(code, 0)
})

test('a second signal ends it at once', async () => {
  const { code, messages } = await run('setInterval(() => {}, 1000); await new Promise(() => {})', [
    'SIGINT',
    'SIGTERM',
  ])
  assert.deepEqual(messages, ['started', 'stopping', 'ended at once'])
  assert.equal(code, 5)
})

test('a service that does not drain is ended', async () => {
  const hang = 'setInterval(() => {}, 1000); await new Promise(() => {})'
  const { code, messages } = await run(hang, ['SIGTERM'], '{ log, drainMs: 200 }')
  assert.deepEqual(messages, ['started', 'stopping', 'not drained in time'])
  assert.equal(code, 5)
})

for (const [what, body, code, error] of [
  ['a broken world', "throw new ProclabelError('PROCLABEL_BUS', 'no broker')", 5, { code: 'PROCLABEL_BUS' }],
  ['wrong use', "throw new InputError('PROCLABEL_CONFIG', 'wrong')", 2, { code: 'PROCLABEL_CONFIG' }],
  ['a fault', "throw new TypeError('bug')", 1, { message: 'bug' }],
  ['a fault outside', "setTimeout(() => { throw new TypeError('bug') }); await sleep(5000)", 1, { message: 'bug' }],
  ['a promise nobody waits for', "Promise.reject(new TypeError('bug')); await sleep(5000)", 1, { message: 'bug' }],
] as const) {
  test(`${what} is one log line with a stack and exit status ${code}`, async () => {
    const { code: got, events } = await run(body)
    assert.equal(got, code)
    assert.equal(events.length, 2)
    assert.equal(events[1]!.level, 'fatal')
    assert.partialDeepStrictEqual(events[1]!.error, error)
    assert.ok(events[1]!.error!.stack)
  })
}
