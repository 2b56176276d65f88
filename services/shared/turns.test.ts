import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { Turns } from './turns.ts'

const workMs = 30
function work(): void {
  for (const endMs = performance.now() + workMs; performance.now() < endMs; );
}

test('what arrives on a socket during much long work is seen before its end', async () => {
  const server = createServer(socket => socket.end('answer')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
  const turns = new Turns()
  let done = 0
  let doneAtAnswer = 0
  socket.once('data', () => {
    doneAtAnswer = done
  })
  const pieces = 40
  await Promise.all(
    Array.from({ length: pieces }, async () => {
      await turns.next()
      work()
      done++
    }),
  )
  assert.equal(done, pieces)
  assert.ok(doneAtAnswer > 0 && doneAtAnswer < pieces / 2, `${doneAtAnswer} of ${pieces} pieces before the answer`)
  server.close()
})

test('turns come in the order in which they were asked for', async () => {
  const turns = new Turns()
  const order: number[] = []
  await Promise.all(Array.from({ length: 5 }, (_, i) => turns.next().then(() => order.push(i))))
  assert.deepEqual(order, [0, 1, 2, 3, 4])
})
