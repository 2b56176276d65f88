#include "packet/frames.hh"

using namespace frames;
using packet::Reason;

namespace {
constexpr uint16_t raw_link = 101;
}

TEST("IPv4 options and IPv6 extension headers are passed over") {
  Bytes with_options = join({{0x46, 0}, u16(24 + 20), u32(0), {64, 6}, u16(0), {10, 0, 0, 1}, {10, 0, 0, 2}, Bytes(4), tcp(1, 2)});
  CHECK_EQUAL(decode(with_options, raw_link).packet.source_port, 1);
  const Bytes extended = ipv6(0, join({{60, 0}, Bytes(6), {51, 1}, Bytes(14), {6, 1}, Bytes(10), tcp(3, 4)}));
  const Decoded decoded = decode(extended, raw_link);
  CHECK_EQUAL(decoded.reason, Reason::ok);
  CHECK_EQUAL(decoded.packet.destination_port, 4);
  CHECK_EQUAL(decoded.packet.ip_length, extended.size());
}

TEST("an atomic IPv6 fragment is a whole packet") {
  CHECK_EQUAL(decode(ipv6(44, join({{6, 0}, u16(0), u32(9), tcp(3, 4)})), raw_link).packet.later_fragment, false);
}

TEST("length 0 reaches to the end of the frame on the wire") {
  Bytes offloaded = ipv4(6, tcp(1, 2));
  offloaded[2] = offloaded[3] = 0;
  const Decoded decoded = decode(offloaded, raw_link, 5000);
  CHECK_EQUAL(decoded.packet.ip_length, 5000u);
  CHECK_EQUAL(decoded.packet.payload_length, 4960u);
  CHECK_EQUAL(decoded.packet.payload_captured, 0u);
}

TEST("headers that contradict themselves are refused by reason") {
  Bytes bytes = ipv4(6, tcp(1, 2));
  bytes[0] = 0x44;
  CHECK_EQUAL(decode(bytes, raw_link).reason, Reason::bad_header_length);
  bytes[0] = 0x55;
  CHECK_EQUAL(decode(bytes, raw_link).reason, Reason::bad_version);
  bytes[0] = 0x45;
  bytes[3] = 19;
  CHECK_EQUAL(decode(bytes, raw_link).reason, Reason::bad_header_length);
}

TEST("IP in IP: the inner ports make the session, the outer header is the tunnel") {
  const Decoded decoded = decode(ipv4(41, ipv6(17, udp(5, 6))), raw_link);
  CHECK_EQUAL(decoded.packet.source_port, 5);
  CHECK_EQUAL(decoded.packet.tunnel.kind, packet::TunnelKind::six_in_four);
  CHECK_EQUAL(decoded.packet.tunnel.source, address(1));
  CHECK_EQUAL(decode(ipv4(4, ipv4(6, tcp(1, 2))), raw_link).packet.tunnel.kind, packet::TunnelKind::ip_in_ip);
  CHECK_EQUAL(decode(ipv4(97, join({{0x30, 0}, ethernet(0x0800, ipv4(6, tcp(1, 2)))})), raw_link).packet.tunnel.kind, packet::TunnelKind::ether_ip);
  CHECK_EQUAL(decode(ipv4(137, join({u32(0x100), ipv4(6, tcp(1, 2))})), raw_link).packet.tunnel.kind, packet::TunnelKind::mpls_in_ip);
  const Decoded registered = decode(ipv4(103, join({{0x21, 0, 0, 0, 0, 0, 0, 0}, ipv4(6, tcp(1, 2))})), raw_link);
  CHECK_EQUAL(registered.packet.tunnel.kind, packet::TunnelKind::pim_register);
}

TEST("a thousand nested headers end by number") {
  Bytes nested = ipv4(17, udp(1, 2));
  for (int i = 0; i < 1000; i++) nested = ipv4(4, nested);
  CHECK_EQUAL(decode(nested, raw_link).reason, Reason::ok);
  Bytes tags = ethernet(0x8100, {});
  for (int i = 0; i < 1000; i++) tags = join({tags, {0, 1}, u16(0x8100)});
  CHECK_EQUAL(decode(tags).reason, Reason::too_many_layers);
}
