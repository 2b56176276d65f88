import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError, ProclabelError } from './errors.ts'

test('a fault says its code, its cause, and whether to try again: not if nothing is said', () => {
  const cause = new Error('refused')
  const fault = new ProclabelError('PROCLABEL_BUS', 'the broker is gone', { retryable: true, cause })
  assert.deepEqual(
    [fault.name, fault.code, fault.message, fault.retryable, fault.cause],
    ['ProclabelError', 'PROCLABEL_BUS', 'the broker is gone', true, cause],
  )
  assert.equal(new ProclabelError('PROCLABEL_BUS', 'closed').retryable, false)
})

test('a bad input is told from a fault, and is never tried again', () => {
  const error = new InputError('PROCLABEL_INPUT', 'it is empty', 'cause')
  assert.ok(error instanceof ProclabelError)
  assert.deepEqual([error.name, error.retryable, error.cause], ['InputError', false, 'cause'])
  assert.ok(!(new ProclabelError('PROCLABEL_BUS', 'closed') instanceof InputError))
})
