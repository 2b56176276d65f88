import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideInferred, decideUnknown } from '#core/match.ts'
import { programNamed } from '#core/program.ts'
import { judgementOf } from '#core/session.ts'
import type { SessionFacts } from '#core/session-facts.ts'
import { justThen } from '#core/stages/remote-port.ts'
import type { Stage } from '#schemas'
import { knewBetter } from './later-judgement.ts'

type Inferring = Exclude<Stage, 'A'>

const facts = { proto: 'tcp', direction: 'out' } as SessionFacts
const inferred = (stage: Inferring, reason: string) =>
  judgementOf(decideInferred(stage, { label: programNamed('curl'), reason, support: 3, share: 1 }, 0.9))
const unknown = (cause: Parameters<typeof decideUnknown>[0]) => judgementOf(decideUnknown(cause, ''))

const then = inferred('C', justThen)

test('who was at a remote end just then is better known than what stages behind say later', () => {
  for (const stage of ['D', 'F', 'N'] as const) assert.equal(knewBetter(then, inferred(stage, 'later'), facts), true)
  assert.equal(knewBetter(then, unknown('too-short'), facts), true)
})

test('a socket that turns up later, or a stage before it, is not', () => {
  for (const stage of ['A2', 'B', 'C'] as const) assert.equal(knewBetter(then, inferred(stage, 'later'), facts), false)
  const direct = { ...then, stage: 'A' as const }
  assert.equal(knewBetter(then, direct, facts), false)
})

test('nor is it kept where no stage may guess, nor another reason of stage C', () => {
  assert.equal(knewBetter(then, unknown('no-socket'), facts), false)
  assert.equal(knewBetter(inferred('C', 'other'), inferred('D', 'later'), facts), false)
})
