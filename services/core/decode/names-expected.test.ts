import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCapture } from '../../capture/files/open-capture.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { addressText } from '../address.ts'
import { type DnsMessage, parseDns } from './dns.ts'
import { DnsStream } from './dns-stream.ts'
import { FrameDecoder } from './frame.ts'
import { type WireName, WireNames } from './names.ts'
import { Packet } from './packet.ts'

/** What the judges' files say about names (the captures' README has the format). */
interface Expected {
  exercises: string[]
  malformed_frames: number[]
  judges_differ?: unknown[]
  sessions: { proto: string; a: string; a_port: number; b: string; b_port: number; levels: string[]; sni?: Named[] }[]
  dns?: ExpectedDns[]
}

interface Named {
  kind: 'tls' | 'quic' | 'gquic' | 'dtls'
  sni: string | null
  /** A sorted set, where ours is the list in the client's order. */
  alpn?: string[]
}

interface ExpectedDns {
  frame: number
  id: string[]
  response: string[]
  q: string[]
  qtype: string[]
  a?: string[]
  aaaa?: string[]
  cname?: string[]
}

interface Observed {
  names: Map<string, WireName[]>
  /** DNS messages by number of the frame that completed them. */
  dns: Map<number, DnsMessage[]>
  /** Frames that hold later IP fragments: the judges read reassembled datagrams there, we read the first fragment. */
  laterFragments: Set<number>
}

function keyOf(proto: string, a: string, aPort: number, b: string, bPort: number): string {
  return [proto, ...[`${a} ${aPort}`, `${b} ${bPort}`].sort()].join(' ')
}

async function observe(path: string): Promise<Observed> {
  const names = new Map<string, WireName[]>()
  const dns = new Map<number, DnsMessage[]>()
  const laterFragments = new Set<number>()
  const streams = new Map<string, DnsStream>()
  const flows = new Map<string, number>()
  const finder = new WireNames()
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  const source = await openCapture(path)
  let frame = 0
  for await (const block of source.blocks()) {
    for (let i = 0; i < block.count; i++) {
      frame++
      packet.timeUs = block.timeUs[i]!
      packet.wireLength = block.wireLength[i]!
      const start = block.offset[i]!
      const reason = decoder.decode(block.data, start, start + block.captured[i]!, block.linkType[i]!, packet)
      if (reason !== 'ok' || (packet.protocol !== 6 && packet.protocol !== 17)) continue
      for (let word = 0; word < 8; word++) view.setInt32(word * 4, packet.addresses[word]!)
      const source = `${addressText(bytes, 0)} ${packet.sourcePort}`
      const destination = `${addressText(bytes, 16)} ${packet.destinationPort}`
      const proto = packet.protocol === 6 ? 'tcp' : 'udp'
      const key = [proto, ...[source, destination].sort()].join(' ')
      const flow = flows.get(key) ?? flows.size
      flows.set(key, flow)
      const name = finder.wants(flow) ? finder.observe(packet, block.data, flow, source < destination) : null
      if (name !== null) names.set(key, [...(names.get(key) ?? []), name])
      if (packet.laterFragment) laterFragments.add(frame)
      else dns.set(frame, dnsIn(packet, block.data, streams, `${proto} ${source} ${destination}`))
    }
  }
  await source.close()
  return { names, dns, laterFragments }
}

/** The DNS messages that a packet completes. */
function dnsIn(packet: Packet, data: Uint8Array, streams: Map<string, DnsStream>, side: string): DnsMessage[] {
  const from = packet.payloadOffset
  const to = from + packet.payloadCaptured
  const messages: DnsMessage[] = []
  const add = (bytes: Uint8Array): void => {
    const message = parseDns(bytes)
    if (message !== null) messages.push(message)
  }
  if (packet.protocol === 17) add(data.subarray(from, to))
  else if (from < to && (packet.sourcePort === 53 || packet.destinationPort === 53)) {
    const stream = streams.get(side) ?? new DnsStream(packet.tcpSequence, 1 << 17, 0)
    streams.set(side, stream)
    stream.add(packet.tcpSequence, data, from, to, add)
  }
  return messages
}

function* nameDifferences(expected: Expected, observed: Observed): Generator<string> {
  const wanted = new Map<string, Named[]>()
  for (const session of expected.sessions) {
    const levels = session.levels.join(',').split(',')
    if (!levels.includes('only') && !levels.includes('innermost')) continue
    const key = keyOf(session.proto, session.a, session.a_port, session.b, session.b_port)
    wanted.set(key, [...(wanted.get(key) ?? []), ...(session.sni ?? [])])
  }
  for (const key of new Set([...wanted.keys(), ...observed.names.keys()])) {
    const want = wanted.get(key) ?? []
    const have = (observed.names.get(key) ?? []).filter(name => name.kind !== 'dns')
    const haveNames = have.flatMap(name => name.sni?.toLowerCase() ?? [])
    const named = want.filter(name => name.kind === 'tls' || name.kind === 'quic')
    const wantNames = named.flatMap(name => name.sni?.toLowerCase() ?? [])
    if (wantNames.length > 0 && !haveNames.some(name => wantNames.includes(name))) {
      yield `name of ${key}: expected ${wantNames}, got ${haveNames}`
    }
    const anyKind = want.flatMap(name => name.sni?.toLowerCase() ?? [])
    const extra = haveNames.filter(name => !anyKind.includes(name))
    if (extra.length > 0) yield `name nobody else saw in ${key}: ${extra}`
    const wantAlpn = named.flatMap(name => (name.alpn === undefined ? [] : [name.alpn.join()]))
    const haveAlpn = have.map(name => [...new Set(name.alpn)].sort().join())
    if (wantAlpn.length > 0 && !haveAlpn.some(list => wantAlpn.includes(list))) {
      yield `ALPN of ${key}: expected ${wantAlpn}, got ${haveAlpn}`
    }
  }
}

function* dnsDifferences(expected: Expected, observed: Observed): Generator<string> {
  for (const want of expected.dns ?? []) {
    if (observed.laterFragments.has(want.frame)) continue
    const have = observed.dns.get(want.frame) ?? []
    const questions = have.flatMap(message => message.questions)
    const records = have.flatMap(message => message.records)
    const values = (type: string) => records.filter(record => record.type === type).map(record => record.value)
    const ours = {
      id: have.map(message => message.id),
      response: have.map(message => message.response),
      q: questions.map(question => question.name || '<Root>'),
      qtype: questions.map(question => String(question.type)),
      a: values('A'),
      aaaa: values('AAAA'),
      cname: values('CNAME'),
    }
    const theirs = {
      id: want.id.map(Number),
      response: want.response.map(flag => flag === '1'),
      q: want.q,
      qtype: want.qtype,
      a: want.a ?? [],
      aaaa: want.aaaa ?? [],
      cname: want.cname ?? [],
    }
    if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
      yield `DNS in frame ${want.frame}: expected ${JSON.stringify(theirs)}, got ${JSON.stringify(ours)}`
    }
  }
}

/** Where we read other DNS messages than the judges, and why. */
const DNS_EXPLAINED: Record<string, string> = {
  'suricata__dns-over-http2-post__dns_over_https_POST.pcap': 'DNS inside HTTP/2, which is not read',
  'suricata__dns-over-http2__dns_over_https.pcap': 'DNS inside HTTP/2, which is not read',
}

async function compare(
  t: { skip: (message: string) => void },
  differences: (expected: Expected, observed: Observed) => Iterable<string>,
  explained: Record<string, string>,
): Promise<void> {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const problems: string[] = []
  for (const file of readdirSync(join(dir, 'expected'))) {
    const name = file.slice(0, -'.json'.length)
    const expected = JSON.parse(readFileSync(join(dir, 'expected', file), 'utf8')) as Expected
    const isReadable = !expected.exercises.includes('reader-error')
    const isSound = isReadable && expected.malformed_frames.length === 0 && (expected.judges_differ ?? []).length === 0
    const observed = await observe(join(dir, 'captures', name)).catch(error => {
      if (isReadable) problems.push(`${name}: ${error}`)
      return null
    })
    if (observed === null || !isSound) continue
    const found = [...differences(expected, observed)]
    if (name in explained && found.length === 0) problems.push(`${name}: is explained but agrees`)
    else if (!(name in explained)) problems.push(...found.map(difference => `${name}: ${difference}`))
  }
  assert.deepEqual(problems, [])
}

test('server names and protocols of real captures agree with what independent tools saw', t =>
  compare(t, nameDifferences, {}))

test('DNS messages of real captures agree with what independent tools saw', t =>
  compare(t, dnsDifferences, DNS_EXPLAINED))
