/**
 * Holds `label` against tshark over any captures: the innermost TCP and UDP sessions, their packets by sender, and the server
 * names of TLS and QUIC. `node services/e2e/against-tshark.ts FOLDER`; the last line is `N agree, N differ, N not compared`,
 * the exit status 1 where one differs. Not compared are captures that tshark does not read to the end.
 *
 * tshark tells of fragments and of later datagrams of one QUIC hello on another frame than we: packets are not compared in
 * captures with fragments, and a name is looked for in the whole session. Packets that tshark calls malformed, such as those of
 * big TCP, whose IP length is 0, may differ rightly: look at them.
 */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import type { LabeledSession } from '#schemas'

const run = promisify(execFile)
const command = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const limits = { maxBuffer: 1 << 30, timeout: 300_000 }
const fields = [
  ...['frame.protocols', 'ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'tcp.srcport', 'tcp.dstport'],
  ...['udp.srcport', 'udp.dstport', 'ip.frag_offset', 'ipv6.fraghdr.offset', 'tls.handshake.extensions_server_name'],
] as const
type Row = Record<(typeof fields)[number], string[]>

interface SeenSession {
  /** By sender. */
  packets: Record<string, number>
  names: Set<string>
}

/** By 5-tuple. */
type Seen = Map<string, SeenSession>

function note(seen: Seen, proto: string, from: string, to: string): SeenSession {
  const key = [proto, ...[from, to].sort()].join(' ')
  const known = seen.get(key) ?? { packets: {}, names: new Set() }
  seen.set(key, known)
  return known
}

const end = (ip: string, port: string | number) => `${ipaddr.process(ip.split('%')[0]!)} ${port}`

/** The innermost TCP or UDP header of a frame: a header that an ICMP error quotes is none of its own. */
function innermost(row: Row): { proto: string; from: string; to: string } | null {
  const next = (a: string[], b: string[]) => [a.shift(), b.shift()] as const
  let ips: readonly (string | undefined)[] = []
  let found = null
  for (const protocol of row['frame.protocols'][0]!.split(':')) {
    if (protocol === 'ip') ips = next(row['ip.src'], row['ip.dst'])
    else if (protocol === 'ipv6') ips = next(row['ipv6.src'], row['ipv6.dst'])
    else if (protocol === 'icmp' || protocol === 'icmpv6') break
    else if (protocol === 'tcp' || protocol === 'udp') {
      const ports = next(row[`${protocol}.srcport`], row[`${protocol}.dstport`])
      if (!ips[0] || !ips[1] || !ports[0] || !ports[1]) break
      found = { proto: protocol, from: end(ips[0], ports[0]), to: end(ips[1], ports[1]) }
    }
  }
  return found
}

async function seenByTshark(file: string): Promise<{ seen: Seen; hasFragments: boolean }> {
  const options = ['-o', 'ip.defragment:FALSE', '-o', 'ipv6.defragment:FALSE', '-T', 'fields', '-E', 'aggregator=|']
  const { stdout } = await run(
    'tshark',
    ['-n', '-r', file, ...options, ...fields.flatMap(field => ['-e', field])],
    limits,
  )
  const seen: Seen = new Map()
  let hasFragments = false
  for (const line of stdout.split('\n').filter(Boolean)) {
    const cells = line.split('\t')
    const row = Object.fromEntries(
      fields.map((field, i) => [field, (cells[i] ?? '').split('|').filter(Boolean)]),
    ) as Row
    hasFragments ||= [...row['ip.frag_offset'], ...row['ipv6.fraghdr.offset']].some(offset => offset !== '0')
    const frame = innermost(row)
    if (frame === null) continue
    const session = note(seen, frame.proto, frame.from, frame.to)
    session.packets[frame.from] = (session.packets[frame.from] ?? 0) + 1
    for (const name of row['tls.handshake.extensions_server_name']) session.names.add(name.toLowerCase())
  }
  return { seen, hasFragments }
}

async function seenByLabel(file: string): Promise<Seen> {
  const { stdout } = await run(process.execPath, [command, 'label', file, '--out', '-'], limits)
  const seen: Seen = new Map()
  for (const line of stdout.split('\n').filter(Boolean)) {
    const record: LabeledSession = JSON.parse(line)
    if (record.proto !== 'tcp' && record.proto !== 'udp') continue
    const local = end(record.local_ip, record.local_port)
    const remote = end(record.remote_ip, record.remote_port)
    const { packets, names } = note(seen, record.proto, local, remote)
    if (record.packets_out > 0) packets[local] = (packets[local] ?? 0) + record.packets_out
    if (record.packets_in > 0) packets[remote] = (packets[remote] ?? 0) + record.packets_in
    if (record.sni) names.add(record.sni.toLowerCase())
  }
  return seen
}

const asText = (packets: Record<string, number>) => Object.entries(packets).sort().join('; ')

function* differences(theirs: Seen, ours: Seen, hasFragments: boolean): Iterable<string> {
  for (const key of theirs.keys()) if (!ours.has(key)) yield `missing: ${key}`
  for (const [key, { packets, names }] of ours) {
    const other = theirs.get(key)
    if (!other) yield `only here: ${key}`
    else if (!hasFragments && asText(packets) !== asText(other.packets))
      yield `packets of ${key}: ${asText(packets)}, by tshark ${asText(other.packets)}`
    else if (other.names.size > 0 && ![...other.names].some(name => names.has(name)))
      yield `name of ${key}: ${[...names].join(', ') || 'none'}, by tshark ${[...other.names].join(', ')}`
  }
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('which folder of captures?')
const counts = { agree: 0, differ: 0, 'not compared': 0 }
for (const name of readdirSync(folder).sort()) {
  const file = path.join(folder, name)
  const theirs = await seenByTshark(file).catch(() => null)
  if (theirs === null) {
    counts['not compared']++
    continue
  }
  const found = [...differences(theirs.seen, await seenByLabel(file), theirs.hasFragments)]
  counts[found.length > 0 ? 'differ' : 'agree']++
  if (found.length > 0) console.log(`${name}\n${found.map(line => `    ${line}`).join('\n')}`)
}
console.log(
  Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', '),
)
process.exitCode = counts.differ > 0 ? 1 : 0
