#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

constexpr uint8_t hop_by_hop = 0;
constexpr uint8_t routing = 43;
constexpr uint8_t fragment_header = 44;
constexpr uint8_t authentication = 51;
constexpr uint8_t no_next_header = 59;
constexpr uint8_t destination_options = 60;

Layer layer_of_protocol(uint8_t protocol) {
  switch (protocol) {
    case protocol_tcp:
      return Layer::tcp;
    case protocol_udp:
      return Layer::udp;
    case 1:
    case 58:
      return Layer::icmp;
    case 4:
    case 41:
      return Layer::ip_in_ip;
    case 47:
      return Layer::gre;
    case 97:
      return Layer::ether_ip;
    case 103:
      return Layer::pim;
    case 137:
      return Layer::mpls_in_ip;
    default:
      return Layer::other_ip;
  }
}

void set_ip(Cursor& c, int version, int64_t length) {
  c.ip_offset = c.offset;
  c.ip_version = version;
  c.ip_length = length;
  c.ip_end = c.offset + length;
  c.limit(c.ip_end);
}

bool skip_header(Cursor& c, int64_t length) {
  if (!c.has(length)) return false;
  c.protocol = c.u8(c.offset);
  c.offset += length;
  return true;
}

/** Moves past the extension headers; each is at least 8 bytes, so the frame bounds their number. */
Layer read_extension_headers(Cursor& c, uint8_t first_header) {
  c.protocol = first_header;
  while (true) {
    switch (c.protocol) {
      case fragment_header: {
        if (!c.has(8)) return Layer::stop;
        c.protocol = c.u8(c.offset);
        const uint16_t fragment = c.u16(c.offset + 2);
        c.fragment_id = c.u32(c.offset + 4);
        c.offset += 8;
        if (fragment >> 3 != 0) return Layer::later_fragment;
        // Neither an offset nor "more" is an atomic fragment (RFC 6946): a whole packet.
        if ((fragment & 1) == 1) c.note_first_fragment();
        break;
      }
      case hop_by_hop:
      case routing:
      case destination_options:
        if (!c.has(8) || !skip_header(c, (c.u8(c.offset + 1) + 1) * 8)) return Layer::stop;
        break;
      case authentication:
        // RFC 4302 section 2.2: the length counts words of four bytes, minus two.
        if (!c.has(12) || !skip_header(c, (c.u8(c.offset + 1) + 2) * 4)) return Layer::stop;
        break;
      default:
        return layer_of_protocol(c.protocol);
    }
  }
}

void commit_outer(Cursor& c, Packet& packet) {
  if (c.committed != Quality::ports) c.commit(packet, Quality::other);
}

}  // namespace

/** IPv4 or IPv6, as the version nibble says. */
Layer read_ip(Cursor& c) {
  if (!c.has(1)) return Layer::stop;
  const uint8_t version = c.u8(c.offset) >> 4;
  if (version == 4) return Layer::ipv4;
  return version == 6 ? Layer::ipv6 : c.stop(Reason::bad_version);
}

/** RFC 791. */
Layer read_ipv4(Cursor& c) {
  if (!c.has(20)) return Layer::stop;
  const int64_t offset = c.offset;
  const uint8_t first = c.u8(offset);
  if (first >> 4 != 4) return first >> 4 == 6 ? Layer::ipv6 : c.stop(Reason::bad_version);
  const int64_t header_length = (first & 15) * 4;
  if (header_length < 20) return c.stop(Reason::bad_header_length);
  int64_t total = c.u16(offset + 2);
  // Total length 0: captured before segmentation offload cut the packet, so it goes on to the end of the frame.
  if (total == 0) total = c.wire_end - offset;
  if (total < header_length) return c.stop(Reason::bad_header_length);
  if (!c.has(header_length)) return Layer::stop;
  set_ip(c, 4, total);
  c.source_offset = offset + 12;
  c.destination_offset = offset + 16;
  c.offset = offset + header_length;
  c.protocol = c.u8(offset + 9);
  const uint16_t fragment = c.u16(offset + 6);
  if ((fragment & 0x3fff) != 0) {
    c.fragment_id = c.u16(offset + 4);
    if ((fragment & 0x1fff) != 0) return Layer::later_fragment;
    c.note_first_fragment();
  }
  return c.protocol == authentication ? read_extension_headers(c, authentication) : layer_of_protocol(c.protocol);
}

/** RFC 8200. */
Layer read_ipv6(Cursor& c) {
  if (!c.has(40)) return Layer::stop;
  const int64_t offset = c.offset;
  if (c.u8(offset) >> 4 != 6) return c.stop(Reason::bad_version);
  const uint8_t next_header = c.u8(offset + 6);
  int64_t payload = c.u16(offset + 4);
  // Length 0 is a jumbogram (RFC 2675) or a packet before segmentation offload: it goes on to the end of the frame.
  if (payload == 0 && next_header != no_next_header) payload = c.wire_end - offset - 40;
  set_ip(c, 6, 40 + payload);
  c.source_offset = offset + 8;
  c.destination_offset = offset + 24;
  c.offset = offset + 40;
  return read_extension_headers(c, next_header);
}

/** RFC 2003, RFC 2473 and RFC 4213: protocol 4 is IPv4 and 41 is IPv6, in either version. */
Layer read_ip_in_ip(Cursor& c, Packet& packet) {
  commit_outer(c, packet);
  const Layer inner = c.protocol == 4 ? Layer::ipv4 : Layer::ipv6;
  const bool is_six_in_four = inner == Layer::ipv6 && c.ip_version == 4;
  c.enter_tunnel(is_six_in_four ? TunnelKind::six_in_four : TunnelKind::ip_in_ip, -1);
  return inner;
}

/** RFC 3378: two bytes, then a whole Ethernet frame. */
Layer read_ether_ip(Cursor& c, Packet& packet) {
  commit_outer(c, packet);
  if (!c.has(2)) return Layer::stop;
  c.enter_tunnel(TunnelKind::ether_ip, -1);
  c.offset += 2;
  return Layer::ethernet;
}

/** RFC 4023. */
Layer read_mpls_in_ip(Cursor& c, Packet& packet) {
  commit_outer(c, packet);
  c.enter_tunnel(TunnelKind::mpls_in_ip, -1);
  return Layer::mpls;
}

/** A Register of PIM (RFC 7761 section 4.9.3): eight bytes, then the packet that a router hands to the rendezvous point. */
Layer read_pim(Cursor& c, Packet& packet) {
  commit_outer(c, packet);
  if (!c.has(8) || c.u8(c.offset) != 0x21) return Layer::stop;
  c.enter_tunnel(TunnelKind::pim_register, -1);
  c.offset += 8;
  return Layer::ip;
}

}  // namespace proclabel::packet
