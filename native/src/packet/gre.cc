#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

constexpr uint16_t checksum_present = 0x8000;
constexpr uint16_t routing_present = 0x4000;
constexpr uint16_t key_present = 0x2000;
constexpr uint16_t sequence_present = 0x1000;
constexpr uint16_t acknowledgement_present = 0x0080;

Layer layer_of_gre_type(Cursor& c, uint16_t type) {
  switch (type) {
    case 0x880b:
      return Layer::ppp;
    case 0x6400:
      return Layer::ethernet;
    case 0x883e:
      // WCCP version 2 puts a redirect header of four bytes in front, which never begins like IPv4.
      if (c.has(1) && c.u8(c.offset) >> 4 != 4) c.offset += 4;
      return Layer::ip;
    default:
      return layer_of_ethertype(type);
  }
}

/** RFC 1701: source route entries, the last one empty. */
bool skip_routing(Cursor& c) {
  while (c.has(4)) {
    const uint16_t family = c.u16(c.offset);
    const uint8_t length = c.u8(c.offset + 3);
    c.offset += 4;
    if (family == 0 && length == 0) return true;
    if (!c.skip(length)) return false;
  }
  return false;
}

/** ERSPAN: type I has no header of its own, type II (version 1) one of 8 bytes, type III (version 2) of 12 or 20. */
Layer read_erspan(Cursor& c, bool type_one) {
  if (type_one) {
    c.enter_tunnel(TunnelKind::erspan, -1);
    return Layer::ethernet;
  }
  if (!c.has(8)) return Layer::stop;
  const uint8_t version = c.u8(c.offset) >> 4;
  const uint16_t session = c.u16(c.offset + 2) & 0x3ff;
  c.enter_tunnel(TunnelKind::erspan, session);
  if (version == 1) {
    c.offset += 8;
    return Layer::ethernet;
  }
  if (version != 2 || !c.has(12)) return Layer::stop;
  const uint16_t last = c.u16(c.offset + 10);
  // Frame type 0 is Ethernet, 2 is IP; the lowest bit announces a platform specific subheader.
  const int frame_type = (last >> 10) & 31;
  if (!c.skip((last & 1) == 1 ? 20 : 12)) return Layer::stop;
  if (frame_type == 0) return Layer::ethernet;
  return frame_type == 2 ? Layer::ip : Layer::stop;
}

}  // namespace

/** RFC 2784 with key and sequence (RFC 2890) and routing (RFC 1701); version 1 is PPTP's (RFC 2637). */
Layer read_gre(Cursor& c, Packet& packet) {
  if (c.committed != Quality::ports) c.commit(packet, Quality::other);
  if (!c.has(4)) return Layer::stop;
  const uint16_t flags = c.u16(c.offset);
  const uint16_t type = c.u16(c.offset + 2);
  const int version = flags & 7;
  c.offset += 4;
  if ((flags & (checksum_present | routing_present)) != 0 && !c.skip(4)) return Layer::stop;
  int64_t id = -1;
  if ((flags & key_present) != 0) {
    if (!c.has(4)) return Layer::stop;
    // PPTP keeps the payload length in the key's upper half.
    id = version == 1 ? c.u16(c.offset + 2) : c.u32(c.offset);
    c.offset += 4;
  }
  if ((flags & sequence_present) != 0 && !c.skip(4)) return Layer::stop;
  if (version == 1 && (flags & acknowledgement_present) != 0 && !c.skip(4)) return Layer::stop;
  if ((flags & routing_present) != 0 && !skip_routing(c)) return Layer::stop;
  if (type == 0x88be || type == 0x22eb) return read_erspan(c, type == 0x88be && (flags & sequence_present) == 0);
  c.enter_tunnel(TunnelKind::gre, id);
  return layer_of_gre_type(c, type);
}

}  // namespace proclabel::packet
