import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Call, processOf } from './audit-record.ts'
import { AuditSockets } from './audit-sockets.ts'

const process = processOf(new Map(Object.entries({ pid: '50', comm: '"httpd"' })))!
const own = { ip: '192.0.2.10', port: 80 }
const client = { ip: '198.51.100.1', port: 40_000 }

test('a server that gives its connections one descriptor after the other is known for as long as it runs', () => {
  const sockets = new AuditSockets()
  const tell = (call: Call, numbers: Record<string, string>, address: typeof own | null = null) => {
    const fields = new Map(Object.entries({ success: 'yes', exit: '0', ...numbers }))
    return [...sockets.tell({ call, timeUs: 0, process, fields, address })]
  }
  tell('socket', { a0: '2', a1: '1', exit: '3' })
  tell('bind', { a0: '3' }, own)
  // More than are remembered, had they been different ones.
  for (let i = 0; i < 100_000; i++) {
    tell('accept', { a0: '3', exit: '4' }, client)
    if (i % 2 === 0) tell('close', { a0: '4' })
  }
  const [accepted] = tell('accept', { a0: '3', exit: '4' }, client)
  assert.deepEqual([accepted!.event.kind, accepted!.event.local_port], ['accept', 80])
})
