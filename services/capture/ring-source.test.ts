import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ethernet, ipv4, udp } from '#core/decode/build-frame.ts'
import { InputError } from '#shared/errors.ts'
import { capturesDir } from '../shared/captures-dir.ts'
import { openInterface as openCap } from './cap-source.ts'
import { createCapture } from './create-capture.ts'
import { openCapture } from './files/open-capture.ts'
import { openInterface } from './open-interface.ts'
import type { FrameBlock, PacketSource } from './packet-source.ts'

/** This file runs itself in a network namespace of its own, which is gone with the process. */
const isInside = process.env.PROCLABEL_TEST_NAMESPACE === '1'
const isRoot = process.getuid?.() === 0
if (!isRoot && process.env.CI === 'true') throw new Error('needs root')

const ethernetLink = 1
/** `cap` hands out no more of a frame. */
const mostBytes = 65_535

const ip = (...args: string[]) => execFileSync('ip', args)

/** Two interfaces that are each other's wire; nobody but the test sends on them. */
function connect(): void {
  for (const which of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1')
  ip('link', 'add', 'wire0', 'mtu', '65535', 'type', 'veth', 'peer', 'name', 'wire1', 'mtu', '65535')
  for (const name of ['wire0', 'wire1']) ip('link', 'set', name, 'up', 'arp', 'off')
}

/** Sends frames as they are, through libpcap. */
function openSender() {
  const { Cap } = createRequire(import.meta.url)('cap')
  const handle = new Cap()
  handle.open('wire0', 'ether proto 0xffff', 1 << 20, Buffer.alloc(mostBytes))
  return {
    send: (frame: Uint8Array): void => handle.send(Buffer.from(frame), frame.length),
    close: (): void => handle.close(),
  }
}

interface Seen {
  frame: Buffer
  wireLength: number
  timeUs: number
  linkType: number
}

/** Reads a source in the background. */
class Reader {
  readonly seen: Seen[] = []
  readonly #source: PacketSource
  readonly #stop = new AbortController()
  readonly #reading: Promise<void>

  constructor(source: PacketSource) {
    this.#source = source
    this.#reading = this.#read()
  }

  async #read(): Promise<void> {
    for await (const { count, data, offset, captured, wireLength, timeUs, linkType } of this.#source.blocks(
      this.#stop.signal,
    ))
      for (let row = 0; row < count; row++)
        this.seen.push({
          frame: Buffer.from(data.subarray(offset[row]!, offset[row]! + captured[row]!)),
          wireLength: wireLength[row]!,
          timeUs: timeUs[row]!,
          linkType: linkType[row]!,
        })
  }

  /** Waits until so many frames have come; fewer only after a long time. */
  async until(count: number): Promise<void> {
    for (let waits = 0; this.seen.length < count && waits < 2000; waits++) await sleep(10)
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await this.#reading
    await this.#source.close()
  }
}

const nowUs = () => (performance.timeOrigin + performance.now()) * 1000

const frameOf = (...payload: number[]) => ethernet(0x0800, ipv4(17, udp(4000, 4001, payload)))

/** The Ethernet frame with tags, [type, content] each, behind its addresses. */
const tagged = (frame: Uint8Array, ...tags: [number, number][]) =>
  Buffer.concat([
    frame.subarray(0, 12),
    ...tags.map(tag => Buffer.from(Uint16Array.from(tag).buffer).swap16()),
    frame.subarray(12),
  ])

async function* framesOf(folder: string): AsyncIterable<Uint8Array> {
  for (const name of readdirSync(folder)) {
    const source = await openCapture(path.join(folder, name))
    for await (const { count, data, offset, captured, linkType } of source.blocks())
      for (let row = 0; row < count; row++)
        if (linkType[row] === ethernetLink && captured[row]! >= 14 && captured[row]! <= mostBytes)
          yield data.slice(offset[row]!, offset[row]! + captured[row]!)
    await source.close()
  }
}

/** What the capture makes of frames; their times are not those at which they came, which no two sources agree on. */
function batchesOf(seen: readonly Seen[]) {
  const capture = createCapture({ sensorId: 'sensor', runId: 'run', hosts: null, keepUnmonitored: true })
  const lengths = seen.map(({ frame }) => frame.length)
  const ends = lengths.map(
    (
      sum => length =>
        (sum += length)
    )(0),
  )
  const block: FrameBlock = {
    count: seen.length,
    data: Buffer.concat(seen.map(({ frame }) => frame)),
    offset: Int32Array.from(ends, (end, row) => end - lengths[row]!),
    captured: Int32Array.from(lengths),
    wireLength: Int32Array.from(seen, ({ wireLength }) => wireLength),
    timeUs: Float64Array.from(seen, (_, row) => 1_700_000_000_000_000 + row),
    linkType: Uint16Array.from(seen, ({ linkType }) => linkType),
  }
  return { batches: [...capture.add(block), ...capture.flush()], frames: capture.frames }
}

suite('the ring in a network namespace', { skip: isInside ? false : 'runs in the namespace' }, () => {
  if (isInside) connect()
  const sender = isInside ? openSender() : null
  const send = (frame: Uint8Array) => sender!.send(frame)

  test('every frame of the test captures comes as it was sent, as through cap, and makes the same batches', async t => {
    const dir = capturesDir()
    if (dir === null) return t.skip('no captures')
    const [ring, cap] = [new Reader(openInterface('wire1', '')), new Reader(openCap('wire1', ''))]
    const sent: Uint8Array[] = []
    for await (const frame of framesOf(path.join(dir, 'captures'))) {
      send(frame)
      sent.push(frame)
      if (sent.length % 1000 === 0) await Promise.all([ring.until(sent.length), cap.until(sent.length)])
    }
    await Promise.all([ring.until(sent.length), cap.until(sent.length)])
    await Promise.all([ring.end(), cap.end()])
    assert.ok(sent.length > 10_000)
    assert.deepEqual([ring.seen.length, cap.seen.length], [sent.length, sent.length])
    for (const [i, frame] of sent.entries())
      for (const { seen } of [ring, cap]) {
        const { linkType, wireLength } = seen[i]!
        assert.ok(seen[i]!.frame.equals(frame), `frame ${i}`)
        assert.deepEqual([linkType, wireLength], [ethernetLink, frame.length])
      }
    const [ofRing, ofCap] = [batchesOf(ring.seen), batchesOf(cap.seen)]
    assert.ok(ofRing.frames.ok! > 10_000)
    assert.deepEqual(ofRing, ofCap)
  })

  test('VLAN tags, which the kernel takes off, are back in their frames', async () => {
    const reader = new Reader(openInterface('wire1', ''))
    const frame = frameOf(1, 2, 3)
    const [customer, provider, priority]: [number, number][] = [
      [0x8100, 0x6064],
      [0x88a8, 7],
      [0x8100, 0],
    ]
    const frames = [
      tagged(frame, customer!),
      tagged(frame, provider!, customer!),
      tagged(frame, priority!),
      Buffer.from(frame),
    ]
    for (const each of frames) send(each)
    await reader.until(frames.length)
    await reader.end()
    assert.deepEqual(
      reader.seen.map(seen => seen.frame),
      frames,
    )
    assert.deepEqual(
      reader.seen.map(seen => seen.wireLength),
      frames.map(({ length }) => length),
    )
  })

  test('a frame has the time at which the kernel had it, however late it is read', async () => {
    const source = openInterface('wire1', '')
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      times.push(Math.floor(nowUs()))
      send(frameOf(i))
      times.push(nowUs())
      await sleep(60)
    }
    const reader = new Reader(source)
    await reader.until(5)
    await reader.end()
    assert.equal(reader.seen.length, 5)
    // Both clocks are the system's; performance.timeOrigin knows it to some hundred microseconds, and 60 ms are between two frames.
    for (const [i, { timeUs }] of reader.seen.entries())
      assert.ok(timeUs >= times[i * 2]! - 20_000 && timeUs <= times[i * 2 + 1]! + 20_000, `frame ${i}`)
  })

  test('the filter keeps other frames out, also by what is in a tagged one', async () => {
    // Not in one expression: libpcap 1.10 forgets a constant of what stands before `vlan`, as tcpdump shows.
    const cases = [
      ['udp[8] = 7', [frameOf(7), frameOf(7, 7)]],
      ['vlan 5 and udp[8] = 8', [tagged(frameOf(8), [0x8100, 5])]],
    ] as const
    for (const [filter, wanted] of cases) {
      const reader = new Reader(openInterface('wire1', filter))
      for (const first of [1, 7, 2]) send(frameOf(first))
      for (const vlan of [4, 5]) send(tagged(frameOf(8), [0x8100, vlan]))
      send(frameOf(7, 7))
      await reader.until(wanted.length)
      await reader.end()
      assert.deepEqual(
        reader.seen.map(({ frame }) => frame),
        wanted.map(frame => Buffer.from(frame)),
      )
    }
  })

  test('what the ring has no room for is counted, once', async () => {
    const source = openInterface('wire1', '')
    const [sent, data] = [1500, frameOf(...new Uint8Array(60_000))]
    for (let i = 0; i < sent; i++) send(data)
    const { dropped } = source.statistics()
    assert.ok(dropped! > 0)
    const reader = new Reader(source)
    await reader.until(sent - dropped!)
    await reader.end()
    const { length } = reader.seen
    const bytesRead = length * data.length
    assert.deepEqual(source.statistics(), { read: length, skipped: {}, dropped: sent - length, bytesRead })
  })

  test('rings of a group share the frames: all of a flow, both directions, come to one of them', async () => {
    const group = 1 + Math.floor(Math.random() * 65_535)
    const readers = [1, 2].map(() => new Reader(openInterface('wire1', '', { group })))
    const flows = 40
    const sent = Array.from({ length: flows * 10 }, (_, i) => {
      const [flow, isBack] = [i % flows, i >= flows * 5]
      const ends: [number, number] = isBack ? [4001, 4000 + flow] : [4000 + flow, 4001]
      const [from, to] = [
        [10, 0, 0, 1],
        [192, 0, 2, 7],
      ]
      const fields = isBack ? { from: to!, to: from! } : { from: from!, to: to! }
      return ethernet(0x0800, ipv4(17, udp(...ends, [flow, i / flows]), fields))
    })
    for (const each of sent) send(each)
    for (let waits = 0; readers[0]!.seen.length + readers[1]!.seen.length < sent.length && waits < 2000; waits++)
      await sleep(10)
    for (const reader of readers) await reader.end()
    const flowsOf = readers.map(({ seen }) => new Set(seen.map(({ frame }) => frame[42]!)))
    assert.ok(flowsOf.every(({ size }) => size > 0))
    assert.equal(flowsOf[0]!.size + flowsOf[1]!.size, flows)
    const all = readers.flatMap(({ seen }) => seen.map(({ frame }) => frame.toString('hex')))
    assert.deepEqual(all.sort(), sent.map(each => Buffer.from(each).toString('hex')).sort())
  })

  /** Reads a block of frames in a process begun by `command`, after `before`; what that process may do, and who it is. */
  async function readElsewhere(command: string[], before: string) {
    const moduleUrl = (file: string) => new URL(file, import.meta.url).href
    const script = `
      import { readFileSync } from 'node:fs'
      import { openInterface } from '${moduleUrl('open-interface.ts')}'
      import { becomeUser } from '${moduleUrl('../cli/become-user.ts')}'
      const source = openInterface('wire1', 'udp')
      ${before}
      const [, effective] = /^CapEff:\\s*(\\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))
      for await (const { count } of source.blocks()) {
        console.log(JSON.stringify({ effective: Number('0x' + effective), uid: process.getuid(), read: count > 0 }))
        break
      }
      await source.close()`
    const [program, ...args] = [...command, process.execPath, '--input-type=module', '-e', script]
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 })
    const sending = setInterval(() => send(frameOf(7)), 20)
    const exited = once(child, 'exit')
    const output = await text(child.stdout)
    clearInterval(sending)
    assert.deepEqual(await exited, [0, null])
    return JSON.parse(output)
  }

  test('it needs CAP_NET_RAW alone, and none any more once it is open', async () => {
    const netRaw = 1 << 13
    const only = ['setpriv', '--bounding-set', '-all,+net_raw', '--inh-caps', '-all']
    assert.deepEqual(await readElsewhere(only, ''), { effective: netRaw, uid: 0, read: true })
    const { uid, ...rest } = await readElsewhere(['env'], "becomeUser('nobody')")
    assert.ok(uid > 0)
    assert.deepEqual(rest, { effective: 0, read: true })
  })

  test('capture goes on when its interface was down, and when it is another of the same name, in a group too', async () => {
    const reader = new Reader(openInterface('wire1', ''))
    const group = Array.from({ length: 2 }, () => new Reader(openInterface('wire1', '', { group: 77 })))
    /** Sends until a frame comes: the interface is taken up again within a second. */
    const comesAgain = async (first: number) => {
      const arrived = () => reader.seen.some(({ frame }) => frame.equals(frameOf(first)))
      for (let tries = 0; !arrived() && tries < 400; tries++) {
        send(frameOf(first))
        await sleep(50)
      }
      assert.ok(arrived(), `frame ${first}`)
    }
    await comesAgain(1)
    ip('link', 'set', 'wire1', 'down')
    ip('link', 'set', 'wire1', 'up')
    await comesAgain(2)
    ip('link', 'set', 'wire1', 'name', 'gone1')
    ip('link', 'add', 'wire2', 'type', 'veth', 'peer', 'name', 'wire1')
    for (const name of ['wire2', 'wire1', 'gone1']) ip('link', 'set', name, 'up', 'arp', 'off')
    const other = createRequire(import.meta.url)('cap')
    const handle = new other.Cap()
    handle.open('wire2', 'ether proto 0xffff', 1 << 20, Buffer.alloc(mostBytes))
    const third = Buffer.from(frameOf(3))
    const datagrams = Array.from({ length: 40 }, (_, i) => Buffer.from(ethernet(0x0800, ipv4(17, udp(5000 + i, 1)))))
    const sees = ({ seen }: Reader, some: readonly Buffer[]) =>
      seen.some(({ frame }) => some.some(each => frame.equals(each)))
    const areBack = () => sees(reader, [third]) && group.every(member => sees(member, datagrams))
    for (let tries = 0; !areBack() && tries < 400; tries++) {
      for (const each of [third, ...datagrams]) handle.send(each, each.length)
      await sleep(50)
    }
    assert.deepEqual([sees(reader, [third]), ...group.map(member => sees(member, datagrams))], [true, true, true])
    // What was sent last is still on its way.
    await sleep(200)
    for (const member of group) member.seen.length = 0
    for (const each of datagrams) handle.send(each, each.length)
    for (let waits = 0; group[0]!.seen.length + group[1]!.seen.length < datagrams.length && waits < 500; waits++)
      await sleep(10)
    const shared = group.flatMap(({ seen }) => seen.map(({ frame }) => frame.toString('hex')))
    assert.equal(new Set(shared).size, datagrams.length)
    assert.equal(shared.length, datagrams.length)
    handle.close()
    for (const each of [reader, ...group]) await each.end()
    sender!.close()
  })
})

suite('the ring', { skip: isRoot && !isInside ? false : 'needs root' }, () => {
  test('in a network namespace of its own', () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const inside = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename]
    const options = { env: { ...env, PROCLABEL_TEST_NAMESPACE: '1' }, encoding: 'utf8', timeout: 100_000 } as const
    const { status, stdout, stderr } = spawnSync('setpriv', inside, options)
    assert.equal(status, 0, `${stdout}${stderr}`)
    assert.match(stdout, /pass 8\b/)
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
    refused('a-name-that-is-too-long', '', /^there is no interface 'a-name-that-is-too-long'/)
    const hardwareTimes = () => openInterface('lo', '', { hardwareTimes: true })
    assert.throws(
      hardwareTimes,
      /^InputError: cannot capture on 'lo': it has no time stamps of its own for all frames$/,
    )
    refused('lo', 'no filter', /^cannot capture on 'lo': the filter cannot be compiled: .*syntax error/)
  })
})
