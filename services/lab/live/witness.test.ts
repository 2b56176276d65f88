import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testimony } from './witness.ts'

const spaces = new Map([[7, 'desk']])
/** 192.0.2.10:40000 to 198.51.100.1:80, ports as the network writes them. */
const ends = '192.0.2.10 16540 198.51.100.1 20480'

/** Lines without their time, which goes up by a second each. */
const told = (...lines: string[]) =>
  testimony(lines.map((line, i) => line.replace(' ', ` ${(i + 1) * 1e9} `)).join('\n'), spaces, 0)
const owners = (...lines: string[]) => told(...lines).map(line => line.owners)

test('a connection is of who opened it, by the name of its program, until it is closed', () => {
  const [line, ...others] = told(
    'exec 41 /nowhere/browser',
    'user 41 abc',
    `sent 41 abc 7 6 ${ends}`,
    `sent 41 abc 8 6 ${ends}`,
    'close abc',
    'fork 1 99',
  )
  assert.deepEqual(others, [], 'what another namespace sends is no business of ours')
  assert.deepEqual(line, {
    ...{ host_id: 'desk', proto: 'tcp', local_ip: '192.0.2.10', local_port: 40_000 },
    ...{ remote_ip: '198.51.100.1', remote_port: 80, first_us: 2_980_000, last_us: 5_000_000 },
    owners: [{ process: 'browser', pid: 41 }],
  })
})

test('who else uses a connection owns it too: a child, or what the process became', () => {
  const mine = ['exec 41 /nowhere/parent', `sent 41 abc 7 6 ${ends}`]
  const parent = { process: 'parent', pid: 41 }
  assert.deepEqual(owners(...mine, 'fork 41 42', 'user 42 abc'), [[parent, { process: 'parent', pid: 42 }]])
  assert.deepEqual(owners(...mine, 'exec 41 /nowhere/other', 'user 41 abc'), [[parent, { process: 'other', pid: 41 }]])
})

test('a port that is used again has another owner, over TCP and UDP', () => {
  const programs = ['exec 41 /nowhere/one', 'exec 42 /nowhere/two']
  const expected = [[{ process: 'one', pid: 41 }], [{ process: 'two', pid: 42 }]]
  assert.deepEqual(owners(...programs, `sent 41 abc 7 6 ${ends}`, 'close abc', `sent 42 abc 7 6 ${ends}`), expected)
  assert.deepEqual(owners(...programs, `sent 41 abc 7 17 ${ends}`, `sent 42 abc 7 17 ${ends}`), expected)
})

test('lines count by their time, not by their place', () => {
  const text = `sent 3000000000 41 abc 7 6 ${ends}\nexec 1000000000 41 /nowhere/browser\n`
  assert.deepEqual(testimony(text, spaces, 0)[0]!.owners, [{ process: 'browser', pid: 41 }])
})
