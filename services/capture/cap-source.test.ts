import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import v8 from 'node:v8'
import vm from 'node:vm'
import { FrameDecoder } from '#core/decode/frame.ts'
import { Packet } from '#core/decode/packet.ts'
import { InputError } from '#shared/errors.ts'
import { openInterface } from './cap-source.ts'
import type { FrameBlock, PacketSource } from './packet-source.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot && process.env.CI === 'true') throw new Error('needs root')

/** A source that sees only what is sent to this socket over loopback. */
async function openLoopback(t: { after: (fn: () => Promise<void>) => void }, more = '') {
  const receiver = createSocket('udp4')
  receiver.bind(0, '127.0.0.1')
  await once(receiver, 'listening')
  const { port } = receiver.address()
  const source = openInterface('lo', `udp dst port ${port}${more}`)
  t.after(async () => {
    await source.close()
    receiver.close()
  })
  return { receiver, port, source }
}

const send = (socket: Socket, port: number, data: Uint8Array) =>
  new Promise<void>((resolve, reject) =>
    socket.send(data, port, '127.0.0.1', error => (error ? reject(error) : resolve())),
  )

/** Reads until so many frames were read or skipped; each frame as `visit` makes it. */
async function readFrames<T>(source: PacketSource, count: number, visit: (block: FrameBlock, row: number) => T) {
  const frames: T[] = []
  const stop = new AbortController()
  const late = setTimeout(() => stop.abort(), 20_000)
  for await (const block of source.blocks(stop.signal)) {
    for (let row = 0; row < block.count; row++) frames.push(visit(block, row))
    const { read, skipped } = source.statistics()
    if (read + (skipped['queue-full'] ?? 0) >= count) stop.abort()
  }
  clearTimeout(late)
  return frames
}

const nowUs = () => (performance.timeOrigin + performance.now()) * 1000

suite('capture on loopback', { skip: isRoot ? false : 'needs root' }, () => {
  test('frames come out whole, in order, with the time at which they came', async t => {
    const { receiver, port, source } = await openLoopback(t)
    const packet = new Packet()
    const decoder = new FrameDecoder(() => {})
    const beforeUs = nowUs()
    for (let i = 0; i < 10; i++) await send(receiver, port, Buffer.alloc(100 + i, i))
    const times: number[] = []
    const frames = await readFrames(source, 10, ({ data, offset, captured, wireLength, linkType, timeUs }, row) => {
      packet.wireLength = wireLength[row]!
      const end = offset[row]! + captured[row]!
      assert.equal(decoder.decode(data, offset[row]!, end, linkType[row]!, packet), 'ok')
      times.push(timeUs[row]!)
      const payload = data.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadCaptured)
      return { port: packet.destinationPort, length: wireLength[row], payload: Buffer.from(payload) }
    })
    // Ethernet, IPv4 and UDP headers: 14, 20 and 8 bytes.
    const expected = Array.from({ length: 10 }, (_, i) => ({
      port,
      length: 142 + i,
      payload: Buffer.alloc(100 + i, i),
    }))
    assert.deepEqual(frames, expected)
    assert.deepEqual(times, times.toSorted())
    assert.ok(times.every(time => Number.isInteger(time) && time >= beforeUs - 1 && time <= nowUs()))
    const bytesRead = expected.reduce((sum, { length }) => sum + length, 0)
    assert.deepEqual(source.statistics(), { read: 10, skipped: {}, dropped: null, bytesRead })
  })

  test('the filter keeps other frames out', async t => {
    const { receiver, port, source } = await openLoopback(t, ' and udp[8] = 7')
    for (const first of [1, 7, 2, 7]) await send(receiver, port, Buffer.of(first))
    assert.deepEqual(await readFrames(source, 2, ({ data, offset }, row) => data[offset[row]! + 42]), [7, 7])
  })

  test('a reader that does not come in time loses frames, and they are counted', async t => {
    const { receiver, port, source } = await openLoopback(t)
    // Large ones, since what waits is bounded in bytes too: 16 blocks of 4 MiB and the one that is filled.
    const [sent, data] = [1300, Buffer.alloc(60_000)]
    for (let i = 0; i < sent; i++) {
      await send(receiver, port, data)
      if (i % 16 === 0) await nextTurn()
    }
    const frames = await readFrames(source, sent, (block, row) => block.captured[row])
    const { read, skipped, bytesRead } = source.statistics()
    assert.ok(skipped['queue-full']! > 0)
    assert.equal(read + skipped['queue-full']!, sent)
    assert.deepEqual([read, bytesRead], [frames.length, frames.length * 60_042])
  })

  test('reading ends when it is told to, also while nothing comes', async t => {
    const { source } = await openLoopback(t)
    for await (const _ of source.blocks(AbortSignal.timeout(50))) assert.fail('nothing was sent')
  })

  test('an interface that is not there, or a filter that is none, is told in a sentence', () => {
    const refused = (device: string, filter: string, message: RegExp) =>
      assert.throws(
        () => openInterface(device, filter),
        (error: unknown) => {
          assert.ok(error instanceof InputError)
          assert.equal(error.code, 'PROCLABEL_INTERFACE')
          assert.match(error.message, message)
          return true
        },
      )
    refused('none0', '', /^there is no interface 'none0' to capture on; interfaces: .*\blo\b/)
    refused('lo', 'no filter', /^cannot capture on 'lo': /)
    v8.setFlagsFromString('--expose-gc')
    vm.runInNewContext('gc')() // cap aborts the process when it collects a handle that could not be opened
  })
})
