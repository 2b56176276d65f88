import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import { capturesDir } from '#shared/captures-dir.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { communityId } from './community-id.ts'
import { FrameDecoder } from './decode/frame.ts'
import { Packet } from './decode/packet.ts'

/** 16 bytes, IPv4 as v4-mapped. */
function bytesOf(ip: string): number[] {
  const address = ipaddr.parse(ip)
  return (address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : address).toByteArray()
}

/**
 * From the specification's baseline (github.com/corelight/community-id-spec, baseline_deflt.json): protocol, sender,
 * receiver, their ports, the id.
 */
const baseline = [
  [58, 'fe80::200:86ff:fe05:80da', 'fe80::260:97ff:fe07:69ea', 135, 136, 'dGHyGvjMfljg6Bppwm3bg0LO8TY='],
  [58, 'fe80::260:97ff:fe07:69ea', 'fe80::200:86ff:fe05:80da', 136, 135, 'dGHyGvjMfljg6Bppwm3bg0LO8TY='],
  [58, 'fe80::260:97ff:fe07:69ea', 'fe80::200:86ff:fe05:80da', 135, 136, 'zavyT/cezQr1fmImYCwYnMXbgck='],
  [58, 'fe80::200:86ff:fe05:80da', 'fe80::260:97ff:fe07:69ea', 136, 135, 'zavyT/cezQr1fmImYCwYnMXbgck='],
  [58, '3ffe:501:1800:2345::2', '3ffe:507:0:1:200:86ff:fe05:80da', 3, 0, '2ObVBgIn28oZvibYZhZMBgh7WdQ='],
  [58, '3ffe:501:410:0:2c0:dfff:fe47:33e', '3ffe:507:0:1:200:86ff:fe05:80da', 1, 4, 'hLZd0XGWojozrvxqE0dWB1iM6R0='],
  [58, '3ffe:507:0:1:200:86ff:fe05:80da', '3ffe:501:0:1001::2', 128, 129, '+TW+HtLHvV1xnGhV1lv7XoJrqQg='],
  [58, '3ffe:501:0:1001::2', '3ffe:507:0:1:200:86ff:fe05:80da', 129, 128, '+TW+HtLHvV1xnGhV1lv7XoJrqQg='],
  [58, 'fe80::200:86ff:fe05:80da', 'ff02::2', 133, 134, 'hO+sN4H+MG5MY/8hIrXPqc4ZQz0='],
  [58, 'fe80::260:97ff:fe07:69ea', 'ff02::1', 134, 133, 'pkvHqCL88/tg1k4cPigmZXUtL00='],
  [1, '192.168.0.89', '192.168.0.1', 8, 0, 'X0snYXpgwiv9TZtqg64sgzUn6Dk='],
  [1, '192.168.0.1', '192.168.0.89', 0, 8, 'X0snYXpgwiv9TZtqg64sgzUn6Dk='],
  [1, '10.0.0.1', '10.0.0.2', 11, 0, 'YHxtAirCG//0OzkcVAukqKQN9xM='],
  [6, '2001:470:e5bf:dead:4957:2174:e82c:4887', '2607:f8b0:400c:c03::1a', 63943, 25, '/qFaeAR+gFe1KYjMzVDsMv+wgU4='],
  [6, '2607:f8b0:400c:c03::1a', '2001:470:e5bf:dead:4957:2174:e82c:4887', 25, 63943, '/qFaeAR+gFe1KYjMzVDsMv+wgU4='],
  [132, '192.168.170.8', '192.168.170.56', 7, 7, 'MP2EtRCAUIZvTw6MxJHLV7N7JDs='],
  [132, '192.168.170.56', '192.168.170.8', 7, 7, 'MP2EtRCAUIZvTw6MxJHLV7N7JDs='],
  [6, '128.232.110.120', '66.35.250.204', 34855, 80, 'LQU9qZlK+B5F3KDmev6m5PMibrg='],
  [6, '66.35.250.204', '128.232.110.120', 80, 34855, 'LQU9qZlK+B5F3KDmev6m5PMibrg='],
  [17, '192.168.1.52', '8.8.8.8', 54585, 53, 'd/FP5EW3wiY1vCndhwleRRKHowQ='],
  [17, '8.8.8.8', '192.168.1.52', 53, 54585, 'd/FP5EW3wiY1vCndhwleRRKHowQ='],
  [46, '10.1.12.1', '10.1.12.2', 0, 0, 'KHlLkgoJW7ifUTyTSgyVfkFHzKw='],
  [46, '10.1.12.2', '10.1.12.1', 0, 0, 'KHlLkgoJW7ifUTyTSgyVfkFHzKw='],
  // From the tests of pycommunityid: types without a counterpart keep their direction.
  [1, '192.168.0.89', '192.168.0.1', 20, 0, '3o2RFccXzUgjl7zDpqmY7yJi8rI='],
  [1, '192.168.0.89', '192.168.0.1', 20, 1, 'tz/fHIDUHs19NkixVVoOZywde+I='],
  [58, '3ffe:507:0:1:260:97ff:fe07:69ea', '3ffe:507:0:1:200:86ff:fe05:80da', 3, 0, 'NdobDX8PQNJbAyfkWxhtL2Pqp5w='],
  [58, '3ffe:507:0:1:200:86ff:fe05:80da', '3ffe:507:0:1:260:97ff:fe07:69ea', 3, 0, '/OGBt9BN1ofenrmSPWYicpij2Vc='],
] as const

test('the ids are those of the specification’s baseline, wherever the sender stands', () => {
  for (const [protocol, sender, receiver, senderPort, receiverPort, id] of baseline) {
    const name = `${protocol} ${sender} ${senderPort} > ${receiver} ${receiverPort}`
    const [first, second] = [bytesOf(sender), bytesOf(receiver)]
    assert.equal(communityId(Buffer.of(...first, ...second), 0, protocol, senderPort, receiverPort), `1:${id}`, name)
    assert.equal(communityId(Buffer.of(...second, ...first), 16, protocol, senderPort, receiverPort), `1:${id}`, name)
  }
})

test('between two ports of one address the lower one is first', () => {
  const ends = Buffer.of(...bytesOf('10.0.0.1'), ...bytesOf('10.0.0.1'))
  assert.equal(communityId(ends, 0, 6, 40_000, 80), communityId(ends, 0, 6, 80, 40_000))
  assert.notEqual(communityId(ends, 0, 6, 40_000, 80), communityId(ends, 0, 6, 40_000, 81))
})

/** What tshark says of each frame that is whole, not malformed, and has one IP header; by number. */
async function idsOfTshark(file: string): Promise<Map<number, string>> {
  const fields = ['frame.number', 'communityid', '_ws.malformed', 'ip.version', 'frame.len', 'frame.cap_len']
  const args = ['-n', '-r', file, '--enable-protocol', 'communityid', '-T', 'fields', ...fields.flatMap(f => ['-e', f])]
  // It ends with an error where the capture is cut, and has told all frames before.
  const { stdout } = await promisify(execFile)('tshark', args, { maxBuffer: 2 ** 28 }).catch(error => error)
  const lines: string[][] = stdout.split('\n').map((line: string) => line.split('\t'))
  const clean = lines.filter(([, id, malformed, versions, length, captured]) => {
    return id && !malformed && versions!.length <= 1 && length === captured
  })
  return new Map(clean.map(([number, id]) => [Number(number), id!]))
}

/** Our ids of the frames that are neither tunnelled nor fragments; by number. */
async function ownIds(file: string): Promise<Map<number, { id: string; protocol: number }>> {
  const ids = new Map<number, { id: string; protocol: number }>()
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  const addresses = Buffer.alloc(32)
  const source = await openCapture(file)
  let number = 0
  for await (const { count, data, offset, captured, linkType, wireLength } of source.blocks())
    for (let row = 0; row < count; row++) {
      number++
      packet.wireLength = wireLength[row]!
      const reason = decoder.decode(data, offset[row]!, offset[row]! + captured[row]!, linkType[row]!, packet)
      if (reason !== 'ok' || packet.tunnel || packet.laterFragment) continue
      for (let i = 0; i < 8; i++) addresses.writeInt32BE(packet.addresses[i]!, i * 4)
      const { protocol, sourcePort, destinationPort } = packet
      ids.set(number, { id: communityId(addresses, 0, protocol, sourcePort, destinationPort), protocol })
    }
  await source.close()
  return ids
}

test('tshark says the same of real captures, frame by frame', { timeout: 120_000 }, async t => {
  const captures = capturesDir()
  if (captures === null) return t.skip('no test captures')
  if (spawnSync('tshark', ['-v']).status !== 0) return t.skip('no tshark')
  const folder = path.join(captures, 'captures')
  const protocols = new Map<number, number>()
  // One in twenty: tshark takes a third of a second to start.
  for (const [i, name] of readdirSync(folder).entries()) {
    if (i % 20 !== 0) continue
    const file = path.join(folder, name)
    const [theirs, ours] = await Promise.all([idsOfTshark(file), ownIds(file)])
    for (const [number, { id, protocol }] of ours) {
      if (!theirs.has(number)) continue
      assert.equal(id, theirs.get(number), `${name} frame ${number}`)
      protocols.set(protocol, (protocols.get(protocol) ?? 0) + 1)
    }
  }
  for (const protocol of [6, 17]) assert.ok(protocols.get(protocol)! > 10, `protocol ${protocol} was hardly seen`)
})
