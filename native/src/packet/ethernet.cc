#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

/** Up to 1500 the field is the length of an LLC frame (IEEE 802.3 section 3.2.6). */
Layer type_or_length(Cursor& c, uint16_t type) {
  if (type > 1500) return layer_of_ethertype(type);
  c.limit(c.offset + type);
  return Layer::llc;
}

/** A tag of `length` bytes whose last two are the next EtherType. */
Layer read_tag(Cursor& c, int64_t length) {
  if (!c.has(length)) return Layer::stop;
  const uint16_t type = c.u16(c.offset + length - 2);
  c.offset += length;
  return type_or_length(c, type);
}

}  // namespace

Layer layer_of_ethertype(uint32_t type) {
  switch (type) {
    case 0x0800:
      return Layer::ipv4;
    case 0x86dd:
      return Layer::ipv6;
    case 0x8100:
    case 0x88a8:
    case 0x9100:
      return Layer::vlan;
    case 0x8847:
    case 0x8848:
      return Layer::mpls;
    case 0x8864:
      return Layer::pppoe;
    case 0x6558:
      return Layer::ethernet;
    case 0x894f:
      return Layer::nsh;
    case 0x88e5:
      return Layer::macsec;
    case 0x8926:
      return Layer::vn_tag;
    case 0x893f:
      return Layer::e_tag;
    case 0x8903:
      return Layer::fabric_path;
    case 0x88e7:
      return Layer::provider_backbone;
    case 0x8870:
      return Layer::llc;
    default:
      return Layer::stop;
  }
}

Layer read_ethernet(Cursor& c) { return read_tag(c, 14); }

/** IEEE 802.1Q: two bytes of tag (the id is the low 12 bits), then the next EtherType. */
Layer read_vlan(Cursor& c) {
  if (c.has(4)) c.vlan = c.u16(c.offset) & 0xfff;
  return read_tag(c, 4);
}

/** IEEE 802.2. */
Layer read_llc(Cursor& c) {
  if (!c.has(3)) return Layer::stop;
  const uint8_t dsap = c.u8(c.offset);
  const uint8_t ssap = c.u8(c.offset + 1);
  if (dsap == 0x06) {
    c.offset += 3;
    return Layer::ip;
  }
  if (dsap != 0xaa || ssap != 0xaa) return Layer::stop;
  c.offset += 3;
  return read_snap(c);
}

/** Organization and type: RFC 1042, and for frame relay RFC 2427 section 4.1. */
Layer read_snap(Cursor& c) {
  if (!c.has(5)) return Layer::stop;
  const uint32_t organization = c.u8(c.offset) << 16 | c.u16(c.offset + 1);
  const uint16_t type = c.u16(c.offset + 3);
  c.offset += 5;
  if (organization == 0 || organization == 0x0000f8) return layer_of_ethertype(type);
  // RFC 2684 section 5.2: bridged Ethernet; padding of two bytes in front.
  if (organization == 0x0080c2 && (type == 1 || type == 7)) {
    c.offset += 2;
    return Layer::ethernet;
  }
  return Layer::stop;
}

/** IEEE 802.1AE with integrity only: encrypted frames end here. */
Layer read_macsec(Cursor& c) {
  if (!c.has(6)) return Layer::stop;
  const uint8_t control = c.u8(c.offset);
  const uint8_t short_length = c.u8(c.offset + 1) & 0x3f;
  if ((control & 0x0c) != 0) return Layer::stop;
  c.offset += (control & 0x20) != 0 ? 14 : 6;
  // The 16 bytes of integrity check value behind are no part of the payload.
  c.limit(short_length > 0 ? c.offset + short_length : c.wire_end - 16);
  if (!c.has(2)) return Layer::stop;
  const uint16_t type = c.u16(c.offset);
  c.offset += 2;
  return layer_of_ethertype(type);
}

/** Cisco VN-Tag: four bytes, then the next EtherType. */
Layer read_vn_tag(Cursor& c) { return read_tag(c, 6); }

/** IEEE 802.1BR E-Tag: six bytes, then the next EtherType. */
Layer read_e_tag(Cursor& c) { return read_tag(c, 8); }

/** Cisco FabricPath: an outer Ethernet header and two bytes of tag around a whole Ethernet frame. */
Layer read_fabric_path(Cursor& c) { return c.skip(2) ? Layer::ethernet : Layer::stop; }

/** IEEE 802.1ah I-TAG: four bytes of service id and flags, then a whole Ethernet frame. */
Layer read_provider_backbone(Cursor& c) { return c.skip(4) ? Layer::ethernet : Layer::stop; }

/** Network Service Header, RFC 8300: its length is in words of four bytes. */
Layer read_nsh(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const int64_t length = (c.u8(c.offset + 1) & 0x3f) * 4;
  const uint8_t next = c.u8(c.offset + 3);
  if (length < 8) return c.stop(Reason::bad_header_length);
  if (!c.skip(length)) return Layer::stop;
  return layer_of_next_protocol(next);
}

Layer layer_of_next_protocol(uint8_t next) {
  switch (next) {
    case 1:
      return Layer::ipv4;
    case 2:
      return Layer::ipv6;
    case 3:
      return Layer::ethernet;
    case 4:
      return Layer::nsh;
    case 5:
      return Layer::mpls;
    default:
      return Layer::stop;
  }
}

}  // namespace proclabel::packet
