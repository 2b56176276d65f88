#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

/** A plausible Ethernet header: an EtherType that we read or ARP, or an 802.3 length that fits. */
bool is_ethernet(const Cursor& c, int64_t at) {
  if (c.end - at < 14) return false;
  const uint16_t type = c.u16(at + 12);
  if (type <= 1500) return type >= 3 && at + 14 + type <= c.wire_end;
  return type == 0x0806 || layer_of_ethertype(type) != Layer::stop;
}

}  // namespace

/**
 * The label stack (RFC 3032), then what nothing in it names: by the first nibble IPv4 or IPv6, else perhaps an Ethernet
 * pseudowire, with the control word of RFC 4448 section 4.6 or without.
 */
Layer read_mpls(Cursor& c) {
  bool bottom = false;
  while (!bottom) {
    if (!c.has(4)) return Layer::stop;
    bottom = (c.u8(c.offset + 2) & 1) == 1;
    c.offset += 4;
  }
  if (!c.has(1)) return Layer::stop;
  const uint8_t nibble = c.u8(c.offset) >> 4;
  if (nibble == 4) return Layer::ipv4;
  if (nibble == 6) return Layer::ipv6;
  if (nibble == 0 && is_ethernet(c, c.offset + 4)) {
    c.offset += 4;
    return Layer::ethernet;
  }
  // 1 is the associated channel of RFC 4385 (OAM), never user data.
  return nibble != 1 && is_ethernet(c, c.offset) ? Layer::ethernet : Layer::stop;
}

}  // namespace proclabel::packet
