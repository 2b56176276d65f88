import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressText } from '../address.ts'
import { be16, be32, bytes, ethernet, innerIp, ipv4, ipv6, tcp, udp, vlan } from './build-frame.ts'
import { FrameDecoder } from './frame.ts'
import { Packet } from './packet.ts'
import type { Reason } from './reason.ts'

const ETHERNET_LINK = 1

function decode(frame: Uint8Array, linkType = ETHERNET_LINK): { reason: Reason; packet: Packet } {
  const packet = new Packet()
  packet.wireLength = frame.length
  return { reason: new FrameDecoder(() => {}).decode(frame, 0, frame.length, linkType, packet), packet }
}

function ends(packet: Packet): string {
  const address = new Uint8Array(32)
  const view = new DataView(address.buffer)
  for (let i = 0; i < 8; i++) view.setInt32(i * 4, packet.addresses[i]!)
  const [source, destination] = [addressText(address, 0), addressText(address, 16)]
  return `${packet.protocol} ${source} ${packet.sourcePort} > ${destination} ${packet.destinationPort}`
}

/** The 5-tuple that the frame belongs to, or why it has none. */
function session(frame: Uint8Array, linkType = ETHERNET_LINK): string {
  const { reason, packet } = decode(frame, linkType)
  return reason === 'ok' ? ends(packet) : reason
}

const INNER = '6 172.16.0.1 1111 > 172.16.0.2 443'
const OUTER = { from: [198, 51, 100, 1], to: [198, 51, 100, 2] }

test('Ethernet, IPv4 and TCP: every field, with options, padding behind and a snap length', () => {
  const packet = new Packet()
  packet.timeUs = 5
  packet.wireLength = 200
  const segment = bytes(be16(1024), be16(443), be32(0xfffffff0), be32(1), [0x60, 0x18, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1])
  const frame = ethernet(0x0800, ipv4(6, bytes(segment, new Array(100).fill(7)), { options: [1, 1, 1, 0] }))
  const captured = frame.subarray(0, 14 + 24 + 24 + 10)
  assert.equal(new FrameDecoder(() => {}).decode(captured, 0, captured.length, ETHERNET_LINK, packet), 'ok')
  const { addresses, ...fields } = packet
  assert.deepEqual([...addresses], [0, 0, 0xffff, 0x0a000001, 0, 0, 0xffff, 0xc0000207 | 0])
  assert.deepEqual(fields, {
    timeUs: 5,
    wireLength: 200,
    ipVersion: 4,
    protocol: 6,
    sourcePort: 1024,
    destinationPort: 443,
    ipOffset: 14,
    ipLength: 24 + 24 + 100,
    tcpFlags: 0x18,
    tcpSequence: 0xfffffff0,
    payloadOffset: 14 + 24 + 24,
    payloadLength: 100,
    payloadCaptured: 10,
    laterFragment: false,
    vlan: -1,
    tunnel: null,
  })
})

test('a short frame is padded on the wire: the IP length counts', () => {
  const { packet } = decode(bytes(ethernet(0x0800, ipv4(17, udp(1, 2, [9]))), new Array(20).fill(0)))
  assert.equal(packet.payloadLength, 1)
  assert.equal(packet.payloadCaptured, 1)
})

test('total length 0, as segmentation offload leaves it, reaches to the end of the frame', () => {
  const { reason, packet } = decode(ethernet(0x0800, ipv4(6, tcp(1, 2, [1, 2, 3]), { totalLength: 0 })))
  assert.equal(reason, 'ok')
  assert.equal(packet.ipLength, 43)
  assert.equal(packet.payloadLength, 3)
})

test('link types lead to the same packet', () => {
  const ip = innerIp()
  const cooked = bytes([0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], be16(0x0800), ip)
  const cooked2 = bytes(be16(0x0800), [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], ip)
  const nflogAttribute = bytes([8, 0, 10, 0, 1, 2, 3, 4], [ip.length + 4, 0, 9, 0], ip)
  const snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0]
  const frames: [number, Uint8Array][] = [
    [0, bytes([2, 0, 0, 0], ip)],
    [0, bytes([0, 0, 0, 2], ip)],
    [108, bytes([0, 0, 0, 2], ip)],
    [9, bytes([0xff, 3, 0, 0x21], ip)],
    [9, bytes([0x21], ip)],
    [50, bytes([0x0f, 0, 8, 0], ip)],
    [51, bytes([0x11, 0, 0, 1], be16(ip.length + 2), [0, 0x21], ip)],
    [104, bytes([0x0f, 0, 8, 0], ip)],
    [10, bytes([0x50, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip)],
    [12, ip],
    [14, ip],
    [101, ip],
    [228, ip],
    [100, bytes([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip)],
    [107, bytes([0x18, 0x41, 3, 0xcc], ip)],
    [107, bytes([0x18, 0x41, 8, 0], ip)],
    [117, bytes([61, 2, 0, 0], new Array(60).fill(0), ip)],
    [204, bytes([0, 0xff, 3, 0, 0x21], ip)],
    [107, bytes([0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], ip)],
    [113, cooked],
    [276, cooked2],
    [178, bytes([0x4d, 0x47, 0x43, 0x80, 0, 3, 1, 1, 6], ethernet(0x0800, ip))],
    [178, bytes([0x4d, 0x47, 0x43, 0x02], ip)],
    [242, bytes(new Uint8Array(40), be16(0x0800), [0, 0], ip)],
    [6, bytes([0x10, 0x40, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6], snap, ip)],
    [6, bytes([0x10, 0x40, 1, 2, 3, 4, 5, 6, 0x81, 2, 3, 4, 5, 6, 4, 0, 1, 0x20], snap, ip)],
    [105, bytes([0x08, 0x01], new Uint8Array(22), snap, ip)],
    [105, bytes([0x08, 0x03], new Uint8Array(28), snap, ip)],
    [105, bytes([0x88, 0x82], new Uint8Array(28), snap, ip)],
    [127, bytes([0, 0, 9, 0, 2, 0, 0, 0, 0], [0x88, 0x02], new Uint8Array(24), snap, ip)],
    [239, bytes([2, 0, 0, 0], nflogAttribute)],
    [192, bytes([0, 0, 8, 0, 1, 0, 0, 0], ethernet(0x0800, ip))],
    [258, bytes([12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], ethernet(0x0800, ip))],
  ]
  for (const [linkType, frame] of frames) assert.equal(session(frame, linkType), INNER, `link type ${linkType}`)
  assert.equal(session(ip, 189), 'unsupported-link-type')
})

test('tags and labels in front of IP are passed over, the nearest VLAN id is kept', () => {
  const ip = innerIp()
  const pseudowire = ethernet(0x0800, ip)
  const frames: [string, Uint8Array, number][] = [
    ['VLAN', ethernet(0x8100, vlan(0x2005, 0x0800, ip)), 5],
    ['QinQ', ethernet(0x88a8, vlan(7, 0x8100, vlan(8, 0x0800, ip))), 8],
    ['802.3 with SNAP', ethernet(8 + ip.length, bytes([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip)), -1],
    ['VLAN with SNAP', ethernet(0x8100, vlan(9, 8 + ip.length, bytes([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip))), 9],
    ['MPLS', ethernet(0x8847, bytes([0, 1, 0, 64], [0, 2, 1, 64], ip)), -1],
    ['MPLS pseudowire', ethernet(0x8847, bytes([0, 1, 1, 64], pseudowire)), -1],
    ['MPLS control word', ethernet(0x8847, bytes([0, 1, 1, 64], [0, 0, 0, 9], pseudowire)), -1],
    ['PPPoE', ethernet(0x8864, bytes([0x11, 0, 0, 1], be16(ip.length + 2), [0, 0x21], ip)), -1],
    ['VN-Tag', ethernet(0x8926, bytes([0, 0, 0, 1], be16(0x8100), vlan(3, 0x0800, ip))), 3],
    ['E-Tag', ethernet(0x893f, bytes([0, 0, 0, 1, 0, 0], be16(0x0800), ip)), -1],
    ['802.1ah', ethernet(0x88e7, bytes([0, 0, 0, 1], ethernet(0x0800, ip))), -1],
    ['FabricPath', ethernet(0x8903, bytes([0, 64], ethernet(0x0800, ip))), -1],
    ['NSH', ethernet(0x894f, bytes([0, 2, 2, 1, 0, 0, 1, 255], ip)), -1],
    ['MACsec', ethernet(0x88e5, bytes([0, 0, 0, 0, 0, 1], be16(0x0800), ip, new Array(16).fill(0))), -1],
  ]
  for (const [name, frame, vlanId] of frames) {
    assert.equal(session(frame), INNER, name)
    assert.equal(decode(frame).packet.vlan, vlanId, name)
  }
})

test('tunnels: the inner TCP header makes the session, the outer IP header is the tunnel', () => {
  const ip = innerIp()
  const frame = ethernet(0x0800, ip)
  const gre = (header: number[], payload: Uint8Array) => ipv4(47, bytes(header, payload), OUTER)
  const inUdp = (port: number, ...parts: (number[] | Uint8Array)[]) =>
    ipv4(17, udp(40000, port, bytes(...parts)), OUTER)
  const cases: [string, number | null, Uint8Array][] = [
    ['gre', null, gre([0, 0, 8, 0], ip)],
    ['gre', 77, gre([0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 1], frame)],
    ['gre', 9, gre([0x30, 0x81, 0x88, 0x0b, ...be16(ip.length), 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0x21], ip)],
    ['gre', null, gre([0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0], ip)],
    ['gre', null, gre([0, 0, 0x88, 0x3e, 0, 0, 0, 0], ip)],
    ['gre', null, inUdp(4754, [0, 0, 8, 0], ip)],
    ['erspan', null, gre([0, 0, 0x88, 0xbe], frame)],
    ['erspan', 5, gre([0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0], frame)],
    ['erspan', 6, gre([0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], frame)],
    ['vxlan', 0x010203, inUdp(4789, [8, 0, 0, 0, 1, 2, 3, 0], frame)],
    ['vxlan', 1, inUdp(4790, [0x0c, 0, 0, 1, 0, 0, 1, 0], ip)],
    ['geneve', 2, inUdp(6081, [1, 0, 0x65, 0x58, 0, 0, 2, 0, 1, 1, 1, 0], frame)],
    ['gtp-u', 0xfffffffe, inUdp(2152, [0x30, 255, ...be16(ip.length), 255, 255, 255, 254], ip)],
    ['gtp-u', 3, inUdp(2152, [0x34, 255, 0, 99, 0, 0, 0, 3, 0, 0, 0, 0x85, 1, 0, 0, 0], ip)],
    ['ip-in-ip', null, ipv4(4, ip, OUTER)],
    ['etherip', null, ipv4(97, bytes([0x30, 0], frame), OUTER)],
    ['mpls-in-ip', null, ipv4(137, bytes([0, 1, 1, 64], ip), OUTER)],
    ['pim-register', null, ipv4(103, bytes([0x21, 0, 0xde, 0xff, 0, 0, 0, 0], ip), OUTER)],
    ['l2tp', 4, inUdp(1701, [0x40, 2, 0, 99, 0, 4, 0, 1, 0xff, 3, 0, 0x21], ip)],
    ['mpls-in-udp', null, inUdp(6635, [0, 1, 1, 64], ip)],
    ['tzsp', null, inUdp(37008, [1, 0, 0, 1, 10, 1, 5, 0, 1], frame)],
    ['lisp', null, inUdp(4341, [0, 0, 0, 0, 0, 0, 0, 0], ip)],
  ]
  for (const [kind, id, outer] of cases) {
    const { reason, packet } = decode(ethernet(0x0800, outer))
    assert.equal(reason, 'ok', kind)
    assert.equal(ends(packet), INNER, kind)
    assert.equal(packet.ipLength, ip.length, kind)
    assert.deepEqual(packet.tunnel, { kind, source: '198.51.100.1', destination: '198.51.100.2', id }, kind)
  }
})

test('IPv6 inside of IPv4, IPv4 inside of IPv6, Teredo', () => {
  const v6 = ipv6(6, tcp(1111, 443))
  const expected = '6 2001:db8::1 1111 > 2001:db8::2 443'
  const sixInFour = decode(ethernet(0x0800, ipv4(41, v6))).packet
  assert.equal(ends(sixInFour), expected)
  assert.equal(sixInFour.tunnel?.kind, '6in4')
  const fourInSix = decode(ethernet(0x86dd, ipv6(4, innerIp()))).packet
  assert.equal(ends(fourInSix), INNER)
  assert.equal(fourInSix.tunnel?.source, '2001:db8::1')
  const authentication = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
  const origin = [0, 0, 1, 2, 3, 4, 5, 6]
  const teredo = decode(ethernet(0x0800, ipv4(17, udp(3544, 50000, bytes(authentication, origin, v6))))).packet
  assert.equal(ends(teredo), expected)
  assert.equal(teredo.tunnel?.kind, 'teredo')
})

test('a tunnel with the largest id is another one than the same without an id', () => {
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  const idOf = (header: number[]) => {
    const frame = ethernet(0x0800, ipv4(47, bytes(header, innerIp()), OUTER))
    assert.equal(decoder.decode(frame, 0, frame.length, 1, packet), 'ok')
    return packet.tunnel?.id
  }
  assert.equal(idOf([0, 0, 8, 0]), null)
  assert.equal(idOf([0x20, 0, 8, 0, 255, 255, 255, 255]), 0xffffffff)
})

test('of nested tunnels the innermost one is kept', () => {
  const vxlan = (payload: Uint8Array) => udp(40000, 4789, bytes([8, 0, 0, 0, 0, 0, 1, 0], ethernet(0x0800, payload)))
  const { packet } = decode(ethernet(0x0800, ipv4(47, bytes([0, 0, 8, 0], ipv4(17, vxlan(innerIp()), OUTER)))))
  assert.equal(ends(packet), INNER)
  assert.deepEqual(packet.tunnel, { kind: 'vxlan', source: '198.51.100.1', destination: '198.51.100.2', id: 1 })
})

test('a packet whose tunnel holds no TCP or UDP belongs to the outer session, or to the innermost IP without one', () => {
  const icmp = ipv4(1, [8, 0, 0, 0, 0, 1, 0, 1], { from: [172, 16, 0, 1], to: [172, 16, 0, 2] })
  const vxlan = (frame: Uint8Array) => ipv4(17, udp(40000, 4789, bytes([8, 0, 0, 0, 0, 0, 1, 0], frame)), OUTER)
  const outer = '17 198.51.100.1 40000 > 198.51.100.2 4789'
  const withIcmp = decode(ethernet(0x0800, vxlan(ethernet(0x0800, icmp)))).packet
  assert.equal(ends(withIcmp), outer)
  assert.equal(withIcmp.tunnel, null)
  assert.equal(session(ethernet(0x0800, vxlan(ethernet(0x0806, new Array(28).fill(0))))), outer)
  assert.equal(session(ethernet(0x0800, vxlan(ethernet(0x0800, ipv4(6, [4, 87, 1]))))), outer)
  const inGre = decode(ethernet(0x0800, ipv4(47, bytes([0, 0, 8, 0], icmp), OUTER))).packet
  assert.equal(ends(inGre), '1 172.16.0.1 8 > 172.16.0.2 0')
  assert.equal(inGre.tunnel?.kind, 'gre')
  assert.equal(session(ethernet(0x0800, ipv4(47, [0, 0, 0x20, 0, 1, 2], OUTER))), '47 198.51.100.1 0 > 198.51.100.2 0')
})

test('only what tunnels carry of users is unwrapped: no GTP signalling, no VXLAN without a network id, no DNS answer', () => {
  const frame = ethernet(0x0800, innerIp())
  const port = (source: number, destination: number, payload: Uint8Array) =>
    session(ethernet(0x0800, ipv4(17, udp(source, destination, payload))))
  assert.match(port(40000, 2152, bytes([0x30, 1, 0, 0, 0, 0, 0, 0], innerIp())), /^17 .* 2152$/)
  assert.match(port(40000, 4789, bytes([0, 0, 0, 0, 0, 0, 1, 0], frame)), /^17 .* 4789$/)
  assert.match(port(4789, 53, bytes([8, 0, 0, 0, 0, 0, 1, 0], frame)), /^17 .* 53$/)
})

test('IPv6 extension headers lead to the transport', () => {
  const options = (next: number) => [next, 0, 1, 4, 0, 0, 0, 0]
  const authentication = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, ...new Array(12).fill(0)]
  const routing = [60, 0, 253, 0, 0, 0, 0, 0]
  const chain = bytes(options(43), routing, options(51), authentication, tcp(1, 2, [5]))
  const { reason, packet } = decode(ethernet(0x86dd, ipv6(0, chain)))
  assert.equal(reason, 'ok')
  assert.equal(ends(packet), '6 2001:db8::1 1 > 2001:db8::2 2')
  assert.equal(packet.ipLength, 40 + chain.length)
  assert.equal(packet.payloadLength, 1)
  assert.equal(session(ethernet(0x86dd, ipv6(59, []))), '59 2001:db8::1 0 > 2001:db8::2 0')
})

test('ICMP has the port pair of the Community ID flow hash, and a quoted header makes no session', () => {
  const icmp = (protocol: number, type: number, code: number) => {
    const { packet } = decode(ethernet(0x0800, ipv4(protocol, bytes([type, code, 0, 0, 0, 0, 0, 0], innerIp()))))
    return [packet.protocol, packet.sourcePort, packet.destinationPort]
  }
  assert.deepEqual(icmp(1, 8, 0), [1, 8, 0])
  assert.deepEqual(icmp(1, 0, 0), [1, 0, 8])
  assert.deepEqual(icmp(1, 13, 0), [1, 13, 14])
  assert.deepEqual(icmp(1, 3, 4), [1, 3, 4])
  assert.deepEqual(icmp(58, 135, 0), [58, 135, 136])
  assert.deepEqual(icmp(58, 129, 0), [58, 129, 128])
  assert.deepEqual(icmp(58, 1, 4), [58, 1, 4])
})

test('frames without a session say why', () => {
  const header = (first: number, total: number) =>
    ethernet(0x0800, bytes([first, 0, ...be16(total)], new Array(36).fill(0)))
  assert.equal(session(ethernet(0x0806, new Array(28).fill(0))), 'not-ip')
  assert.equal(session(ethernet(38, new Array(38).fill(0x42))), 'not-ip')
  assert.equal(session(new Uint8Array(0)), 'truncated-header')
  assert.equal(session(ethernet(0x0800, [0x45, 0])), 'truncated-header')
  assert.equal(session(ethernet(0x0800, ipv4(6, [1, 2, 3]))), 'truncated-header')
  assert.equal(session(header(0x44, 40)), 'bad-header-length')
  assert.equal(session(header(0x45, 19)), 'bad-header-length')
  assert.equal(session(header(0x55, 40)), 'bad-version')
  const labels = new Array(100).fill([0, 1, 0x81, 0]).flat()
  assert.equal(session(ethernet(0x8100, labels)), 'too-many-layers')
})

test('any bytes of any link type are decoded without an exception, within their bounds', () => {
  const linkTypes = [
    0, 1, 9, 10, 50, 51, 100, 101, 104, 107, 108, 113, 117, 127, 149, 178, 192, 204, 228, 229, 239, 242, 258, 276,
  ]
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(...linkTypes),
      fc.nat(1),
      (frame, linkType, extra) => {
        packet.wireLength = frame.length + extra * 100
        const reason = decoder.decode(frame, 0, frame.length, linkType, packet)
        if (reason !== 'ok') return
        assert.ok(packet.payloadOffset + packet.payloadCaptured <= frame.length)
        assert.ok(packet.payloadCaptured >= 0 && packet.payloadLength >= 0)
      },
    ),
    { numRuns: 5000 },
  )
})

test('a deep nest of capture wrappers ends without an exception', () => {
  const wrapper = bytes([0, 0, 8, 0, 2, 1, 0, 0], [12, 0, 0, 0, 1, 0, 0, 0, 192, 0, 0, 0])
  const nest = new Uint8Array(260_000)
  for (let at = 0; at + wrapper.length <= nest.length; at += wrapper.length) nest.set(wrapper, at)
  assert.equal(session(nest, 192), 'unsupported-link-type')
})
