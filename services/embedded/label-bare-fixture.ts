import assert from 'node:assert/strict'
import { defaultConstants } from '#core/constants.ts'
import { loadNative } from '#native'
import type { PacketSource } from '../capture/packet-source.ts'
import { labelCapture } from './label.ts'
import { labelBare } from './label-bare.ts'

/** Lists a capture's sessions both ways, line by line the same, and answers with the lines. `open` is called for each. */
export async function compareBare(
  open: () => Promise<PacketSource>,
  duplicateWindowUs: number | null = null,
): Promise<string[]> {
  const expected: string[] = []
  const first = await open()
  const whole = await labelCapture({
    packets: first,
    logs: null,
    constants: defaultConstants,
    sensorId: 'sensor',
    duplicateWindowUs,
    sink: session => void expected.push(JSON.stringify(session)),
  }).finally(() => first.close())
  let text = ''
  const second = await open()
  const bare = await labelBare(
    loadNative(),
    { packets: second, sensorId: 'sensor', duplicateWindowUs },
    async lines => {
      text += Buffer.from(lines).toString()
    },
  ).finally(() => second.close())
  const lines = text.split('\n').slice(0, -1)
  for (const [i, line] of expected.entries()) assert.equal(lines[i], line)
  assert.equal(lines.length, expected.length)
  const { frames, unsupportedLinkTypes, firstUs, lastUs, sessions } = bare
  assert.deepEqual({ ...whole, records: null }, { frames, unsupportedLinkTypes, firstUs, lastUs, records: null })
  const counted = [...sessions.values()].reduce((a, b) => a + b, 0)
  assert.equal(counted, expected.length)
  return lines
}
