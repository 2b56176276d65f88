/**
 * Peak memory of `label` as the input grows and the open sessions do not: the generator's output is piped in, so no file
 * is needed.
 *
 * `node services/e2e/bench/memory.ts [--packets 6000000]`
 */
import { parseArgs } from 'node:util'
import { machine, runOnOneCore } from './measure.ts'

const { values } = parseArgs({ options: { packets: { type: 'string', default: '6000000' } } })
const packets = Number(values.packets)
const make = `${process.execPath} services/e2e/bench/make-capture.ts --out -`
const label = `${process.execPath} services/cli/proclabel.mjs label - --quiet --out /dev/null`

console.log(`${machine()}\n`)
console.log('| Input | packets | peak MiB |')
console.log('| --- | --- | --- |')
for (const times of [1, 2, 4]) {
  const { peakMiB } = runOnOneCore(`${make} --packets ${packets * times} | ${label}`)
  console.log(`| ${times} × | ${(packets * times).toLocaleString('en-US')} | ${Math.round(peakMiB)} |`)
}
