#include <array>

#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

/** The tunnels on their registered ports. */
Layer tunnel_of_port(uint16_t port) {
  switch (port) {
    case 1701:
      return Layer::l2tp;
    case 2152:
      return Layer::gtp_u;
    case 3544:
      return Layer::teredo;
    case 4341:
      return Layer::lisp;
    case 4754:
      return Layer::gre;
    case 4789:
      return Layer::vxlan;
    case 4790:
      return Layer::vxlan_gpe;
    case 5072:
      return Layer::ayiya;
    case 6081:
      return Layer::geneve;
    case 6635:
      return Layer::mpls_in_udp;
    case 37008:
      return Layer::tzsp;
    default:
      return Layer::stop;
  }
}

/** The destination's port counts; the source's (an answer) only where the destination is no well-known service. */
Layer tunnel_of_ports(uint16_t source, uint16_t destination) {
  const Layer tunnel = tunnel_of_port(destination);
  return tunnel != Layer::stop || destination < 1024 ? tunnel : tunnel_of_port(source);
}

/**
 * The Community ID specification v1 gives ICMP a pair of ports: the type, and the type of the message in the other
 * direction where there is one, else the code. -1 where there is none.
 */
int icmp_counterpart(uint8_t protocol, uint8_t type) {
  struct Pair {
    uint8_t request, reply;
  };
  constexpr std::array<Pair, 5> icmp = {{{8, 0}, {13, 14}, {15, 16}, {17, 18}, {10, 9}}};
  constexpr std::array<Pair, 6> icmpv6 = {{{128, 129}, {130, 131}, {133, 134}, {135, 136}, {139, 140}, {144, 145}}};
  const auto find = [type](const auto& pairs) {
    for (const Pair& pair : pairs) {
      if (type == pair.request) return static_cast<int>(pair.reply);
      if (type == pair.reply) return static_cast<int>(pair.request);
    }
    return -1;
  };
  return protocol == 1 ? find(icmp) : find(icmpv6);
}

}  // namespace

/** RFC 9293. The ports alone make the session; what else a snap length has left is taken. */
Layer read_tcp(Cursor& c, Packet& packet) {
  if (!c.has(4)) return Layer::stop;
  const int64_t offset = c.offset;
  c.commit(packet, Quality::ports);
  packet.source_port = c.u16(offset);
  packet.destination_port = c.u16(offset + 2);
  if (c.end - offset < 14) return Layer::stop;
  packet.tcp_sequence = c.u32(offset + 4);
  packet.tcp_flags = c.u8(offset + 13);
  c.set_payload(packet, offset + std::max(20, (c.u8(offset + 12) >> 4) * 4));
  return Layer::stop;
}

/** RFC 768, and the tunnels on their registered ports. */
Layer read_udp(Cursor& c, Packet& packet) {
  if (!c.has(4)) return Layer::stop;
  c.commit(packet, Quality::ports);
  packet.source_port = c.u16(c.offset);
  packet.destination_port = c.u16(c.offset + 2);
  c.set_payload(packet, c.offset + 8);
  if (!c.skip(8)) return Layer::stop;
  return tunnel_of_ports(packet.source_port, packet.destination_port);
}

/** ICMP and ICMPv6. The packet quoted in an error makes no session. */
Layer read_icmp(Cursor& c, Packet& packet) {
  if (c.committed == Quality::ports || !c.has(2)) return Layer::stop;
  const uint8_t type = c.u8(c.offset);
  const int counterpart = icmp_counterpart(c.protocol, type);
  c.commit(packet, Quality::other);
  packet.source_port = type;
  packet.destination_port = counterpart < 0 ? c.u8(c.offset + 1) : static_cast<uint16_t>(counterpart);
  c.set_payload(packet, c.offset + 8);
  return Layer::stop;
}

/** Any other protocol by its number; inside a tunnel it leaves the packet to the outer TCP or UDP session. */
Layer read_other_ip(Cursor& c, Packet& packet) {
  if (c.committed != Quality::ports) c.commit(packet, Quality::other);
  return Layer::stop;
}

}  // namespace proclabel::packet
