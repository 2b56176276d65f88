#include "packet/layers.hh"

namespace proclabel::packet {

/**
 * PPP (RFC 1661), with or without HDLC's address and control bytes (RFC 1662), the protocol field compressed or not.
 * Links that carry Cisco HDLC are often recorded as PPP: 0x0f and 0x8f as the first byte tell them apart.
 */
Layer read_ppp(Cursor& c) {
  if (!c.has(2)) return Layer::stop;
  const uint8_t first = c.u8(c.offset);
  if (first == 0x0f || first == 0x8f) return Layer::cisco_hdlc;
  if (first == 0xff && c.u8(c.offset + 1) == 0x03) c.offset += 2;
  if (!c.has(2)) return Layer::stop;
  const bool compressed = (c.u8(c.offset) & 1) == 1;
  const uint16_t protocol = compressed ? c.u8(c.offset) : c.u16(c.offset);
  c.offset += compressed ? 1 : 2;
  switch (protocol) {
    case 0x21:
      return Layer::ipv4;
    case 0x57:
      return Layer::ipv6;
    case 0x281:
    case 0x283:
      return Layer::mpls;
    default:
      return Layer::stop;
  }
}

/** The session stage of RFC 2516: only code 0 carries PPP. */
Layer read_pppoe(Cursor& c) {
  if (!c.has(6)) return Layer::stop;
  const uint8_t code = c.u8(c.offset + 1);
  const uint16_t length = c.u16(c.offset + 4);
  c.offset += 6;
  c.limit(c.offset + length);
  return code == 0 ? Layer::ppp : Layer::stop;
}

/** Address, control, EtherType. */
Layer read_cisco_hdlc(Cursor& c) {
  if (!c.has(4)) return Layer::stop;
  const uint16_t type = c.u16(c.offset + 2);
  c.offset += 4;
  return layer_of_ethertype(type);
}

}  // namespace proclabel::packet
