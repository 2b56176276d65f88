#include "packet/frames.hh"

using namespace frames;
using packet::Quality;
using packet::Reason;

namespace {
constexpr uint16_t raw_link = 101;
}

TEST("TCP: ports, flags, sequence number, payload behind the options") {
  Bytes segment = tcp(1000, 443, 0x12, join({Bytes(4, 1), text("hello")}), 0xfffffff0);
  segment[12] = 0x60;
  const Decoded decoded = decode(ipv4(6, segment), raw_link);
  CHECK_EQUAL(decoded.packet.tcp_flags, 0x12);
  CHECK_EQUAL(decoded.packet.tcp_sequence, 0xfffffff0u);
  CHECK_EQUAL(decoded.packet.payload_offset, 44u);
  CHECK_EQUAL(decoded.packet.payload_length, 5u);
}

TEST("a snap length that leaves the ports leaves the session") {
  const Bytes whole = ipv4(6, tcp(1000, 443, 0x18, text("payload")));
  const Decoded decoded = decode(Bytes(whole.begin(), whole.begin() + 24), raw_link, whole.size());
  CHECK_EQUAL(decoded.reason, Reason::ok);
  CHECK_EQUAL(decoded.packet.destination_port, 443);
  CHECK_EQUAL(decoded.packet.tcp_flags, 0);
  CHECK_EQUAL(decode(Bytes(whole.begin(), whole.begin() + 23), raw_link).reason, Reason::truncated_header);
}

TEST("ICMP has the pair of ports of the Community ID: counterpart, or code where there is none") {
  const auto ports = [](const Bytes& datagram) {
    const Decoded decoded = decode(datagram, raw_link);
    return decoded.packet.source_port * 1000 + decoded.packet.destination_port;
  };
  CHECK_EQUAL(ports(ipv4(1, {8, 0, 0, 0})), 8000);
  CHECK_EQUAL(ports(ipv4(1, {0, 0, 0, 0})), 8);
  CHECK_EQUAL(ports(ipv4(1, {3, 13, 0, 0})), 3013);
  CHECK_EQUAL(ports(ipv6(58, {129, 0, 0, 0})), 129128);
}

TEST("tunnels over UDP: the innermost ports, the outer addresses, the id") {
  const Bytes inner = ipv4(6, tcp(7, 8), 0, 3, 4);
  const Bytes frame = ethernet(0x0800, inner);
  const auto check = [](uint16_t port, const Bytes& payload, packet::TunnelKind kind, int64_t id) {
    const Decoded decoded = decode(ipv4(17, udp(50000, port, payload)), raw_link);
    CHECK_EQUAL(decoded.reason, Reason::ok);
    CHECK_EQUAL(decoded.packet.destination_port, 8);
    CHECK_EQUAL(decoded.packet.source, address(3));
    CHECK_EQUAL(decoded.packet.tunnel.kind, kind);
    CHECK_EQUAL(decoded.packet.tunnel.destination, address(2));
    CHECK_EQUAL(decoded.packet.tunnel.id, id);
  };
  using packet::TunnelKind;
  check(4789, join({{8, 0, 0, 0}, u32(0x123400), frame}), TunnelKind::vxlan, 0x1234);
  check(4790, join({{0x0c, 0, 0, 1}, u32(0x100), inner}), TunnelKind::vxlan, 1);
  check(6081, join({{1, 0}, u16(0x6558), u32(0x200), Bytes(4), frame}), TunnelKind::geneve, 2);
  check(2152, join({{0x34, 255}, u16(0), u32(0xffffffff), {0, 0, 0, 0x85}, {1, 0, 0, 0}, inner}), TunnelKind::gtp_u, 0xffffffff);
  check(1701, join({{0x40, 2}, u16(100), u16(17), u16(1), u16(0x21), inner}), TunnelKind::l2tp, 17);
  check(4754, join({u16(0x2000), u16(0x0800), u32(9), inner}), TunnelKind::gre, 9);
  check(6635, join({u32(0x100), inner}), TunnelKind::mpls_in_udp, -1);
  check(37008, join({{1, 0}, u16(1), {0, 1}, frame}), TunnelKind::tzsp, -1);
  check(5072, join({{0x40, 0x50, 1, 4}, u32(0), Bytes(36), inner}), TunnelKind::ayiya, -1);
  check(4341, join({Bytes(8), inner}), TunnelKind::lisp, -1);
}

TEST("Teredo with authentication and origin") {
  const Bytes payload = join({{0, 1, 2, 3}, Bytes(14), {0, 0}, Bytes(6), ipv6(6, tcp(7, 8))});
  CHECK_EQUAL(decode(ipv4(17, udp(50000, 3544, payload)), raw_link).packet.tunnel.kind, packet::TunnelKind::teredo);
}

TEST("GRE with checksum, key and sequence; ERSPAN types I, II and III") {
  const Bytes frame = ethernet(0x0800, ipv4(6, tcp(7, 8), 0, 3, 4));
  const auto tunnel = [](const Bytes& gre) {
    const Decoded decoded = decode(ipv4(47, gre), raw_link);
    CHECK_EQUAL(decoded.packet.destination_port, 8);
    return decoded.packet.tunnel;
  };
  CHECK_EQUAL(tunnel(join({u16(0xb000), u16(0x6558), u32(0), u32(5), u32(6), frame})).id, 5);
  CHECK_EQUAL(tunnel(join({u16(0), u16(0x88be), frame})).id, -1);
  CHECK_EQUAL(tunnel(join({u16(0x1000), u16(0x88be), u32(1), {0x10, 1}, u16(0x0407), u32(0), frame})).id, 7);
  const Bytes type_three = join({u16(0x1000), u16(0x22eb), u32(1), {0x20, 1}, u16(8), u32(0), u16(0), u16(1), Bytes(8), frame});
  CHECK_EQUAL(tunnel(type_three).kind, packet::TunnelKind::erspan);
}

TEST("a tunnel that holds no TCP or UDP leaves the packet to the outer session") {
  const Bytes ping = ethernet(0x0800, ipv4(1, {8, 0, 0, 0}));
  const Decoded decoded = decode(ipv4(17, udp(50000, 4789, join({{8, 0, 0, 0}, u32(0), ping}))), raw_link);
  CHECK_EQUAL(decoded.packet.destination_port, 4789);
  CHECK_EQUAL(decoded.packet.tunnel.kind, packet::TunnelKind::none);
}
