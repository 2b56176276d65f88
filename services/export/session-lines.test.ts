import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LabeledSession } from '#schemas'
import { sessionOf } from '#shared/session-fixture.ts'
import { sessionsOfLines } from './session-lines.ts'

async function read(text: Uint8Array, pieceBytes: number) {
  const pieces = async function* () {
    for (let at = 0; at < text.length; at += pieceBytes) yield text.subarray(at, at + pieceBytes)
  }
  const sessions = []
  for await (const some of sessionsOfLines(pieces())) sessions.push(...some)
  return sessions
}

const whole = (session: unknown): LabeledSession | null => JSON.parse(JSON.stringify(session))

test('sessions of lines are those that JSON tells, however the bytes are parted and `splt` is written', async () => {
  const packet = fc.record(
    { len: fc.integer({ min: -70_000, max: 70_000 }), gap_us: fc.nat({ max: 2 ** 40 }) },
    { noNullPrototype: true },
  )
  const written = fc.constantFrom<(session: LabeledSession) => string>(
    session => JSON.stringify(session),
    ({ splt, ...rest }) => JSON.stringify({ splt, ...rest }),
    session => JSON.stringify(session).replaceAll(',"', ', "'),
    session => JSON.stringify({ ...session, later: true }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(packet, { maxLength: 32 }), fc.string({ unit: 'grapheme' }), written), {
        maxLength: 5,
      }),
      fc.integer({ min: 1, max: 5000 }),
      async (made, pieceBytes) => {
        const sessions = made.map(([splt, sni]) => sessionOf({ splt, sni }))
        const text = made.map(([, , write], i) => `${write(sessions[i]!)}\n`).join('\n')
        const found = (await read(Buffer.from(text), pieceBytes)).map(whole)
        assert.deepEqual(
          found.map(session => ({ ...session, later: undefined })),
          sessions.map(session => ({ ...session, later: undefined })),
        )
      },
    ),
  )
})

test('a line that is no session is null, and the next one is read', async () => {
  const line = JSON.stringify(sessionOf({ splt: [{ len: 60, gap_us: 0 }] }))
  const broken = [
    ...['{}', '7', 'null', 'not JSON', line.slice(0, -1), line.slice(1), `${line}x`],
    ...[
      line.replace('"len"', '"lem"').replace('{"lem":60,"gap_us":0}', '7,'),
      line.replace('"revision":0', '"revision":null'),
    ],
  ]
  for (const text of broken) {
    const [first, second, ...rest] = await read(Buffer.from(`${text}\n\n${line}`), 100)
    assert.deepEqual([first, rest], [null, []], text)
    assert.deepEqual(whole(second), JSON.parse(line))
  }
})
