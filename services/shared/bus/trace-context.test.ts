import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Headers } from './bus.ts'
import { InProcessBus } from './in-process.ts'
import { continuedTrace, tracedBus, traceHeader } from './trace-context.ts'

const headers = (text: string) => ({ [traceHeader]: Buffer.from(text) })
const textOf = (all: Headers | undefined) => all?.[traceHeader] && Buffer.from(all[traceHeader]).toString()
/** The examples of the recommendation. */
const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const span = '00f067aa0ba902b7'

test('what follows from a sampled record is of the same trace, in a span of its own', () => {
  const next = textOf(continuedTrace(headers(`00-${trace}-${span}-01`)))!
  assert.match(next, new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`))
  assert.ok(!next.includes(span))
  const ofLaterVersion = textOf(continuedTrace(headers(`cc-${trace}-${span}-03-what-the-future-will-be-like`)))
  assert.match(ofLaterVersion!, new RegExp(`^00-${trace}-`))
})

test('a record that is not sampled, or whose header is none, has no trace to go on with', () => {
  for (const text of [
    `00-${trace}-${span}-00`,
    `00-${trace}-${span}-02`,
    `00-${trace}-${span}-01-more`,
    `ff-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${trace}-${span}`,
    '',
  ])
    assert.equal(continuedTrace(headers(text)), undefined, text)
  assert.equal(continuedTrace(undefined), undefined)
  assert.equal(continuedTrace({ other: Buffer.from('x') }), undefined)
})

test('of many records as many are traced as was asked for, each by itself, beside the headers they had', async () => {
  const published: (readonly [string, string | undefined])[] = []
  const bus = new InProcessBus()
  bus.publish = async (_topic, records) => {
    for (const { headers } of records) published.push([Buffer.from(headers!.own!).toString(), textOf(headers)])
  }
  const records = Array.from({ length: 4000 }, () => ({ key: 'k', value: null, headers: { own: Buffer.from('1') } }))
  await tracedBus(bus, 4).publish('packets', records)
  const traces = published.map(([, text]) => text).filter(text => text !== undefined)
  assert.ok(published.length === 4000 && published.every(([own]) => own === '1'))
  assert.ok(traces.length > 800 && traces.length < 1200, `${traces.length} of 4000`)
  assert.equal(new Set(traces).size, traces.length)
})
