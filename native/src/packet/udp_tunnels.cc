#include "packet/layers.hh"

namespace proclabel::packet {

/** RFC 7348: eight bytes, the I flag says that the network id is valid. */
Layer read_vxlan(Cursor& c) {
  if (!c.has(8) || (c.u8(c.offset) & 0x08) == 0) return Layer::stop;
  c.enter_tunnel(TunnelKind::vxlan, c.u32(c.offset + 4) >> 8);
  c.offset += 8;
  return Layer::ethernet;
}

/** draft-ietf-nvo3-vxlan-gpe: as VXLAN, but the P flag says that a protocol number is in byte 3. */
Layer read_vxlan_gpe(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const uint8_t flags = c.u8(c.offset);
  const uint8_t next = c.u8(c.offset + 3);
  c.enter_tunnel(TunnelKind::vxlan, c.u32(c.offset + 4) >> 8);
  c.offset += 8;
  return (flags & 0x04) == 0 ? Layer::ethernet : layer_of_next_protocol(next);
}

/** RFC 8926: version 0, options in words of four bytes. */
Layer read_geneve(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const uint8_t first = c.u8(c.offset);
  const int64_t length = 8 + (first & 0x3f) * 4;
  if (first >> 6 != 0 || !c.has(length)) return Layer::stop;
  c.enter_tunnel(TunnelKind::geneve, c.u32(c.offset + 4) >> 8);
  const uint16_t type = c.u16(c.offset + 2);
  c.offset += length;
  return layer_of_ethertype(type);
}

/** 3GPP TS 29.281: only a G-PDU (message 255) carries a user's packet. */
Layer read_gtp_u(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const uint8_t flags = c.u8(c.offset);
  // Version 1, protocol type GTP.
  if ((flags & 0xf0) != 0x30 || c.u8(c.offset + 1) != 255) return Layer::stop;
  c.enter_tunnel(TunnelKind::gtp_u, c.u32(c.offset + 4));
  c.offset += 8;
  if ((flags & 0x07) != 0) {
    if (!c.has(4)) return Layer::stop;
    uint8_t extension = (flags & 0x04) != 0 ? c.u8(c.offset + 3) : 0;
    c.offset += 4;
    while (extension != 0) {
      if (!c.has(4)) return Layer::stop;
      const int64_t length = c.u8(c.offset) * 4;
      if (length == 0 || !c.skip(length)) return Layer::stop;
      extension = c.u8(c.offset - 1);
    }
  }
  return Layer::ip;
}

/** RFC 4380 sections 5.1.1 and 5.1.2: authentication and origin indication in front of IPv6. */
Layer read_teredo(Cursor& c) {
  if (!c.has(2)) return Layer::stop;
  if (c.u16(c.offset) == 1) {
    if (!c.has(13)) return Layer::stop;
    if (!c.skip(13 + c.u8(c.offset + 2) + c.u8(c.offset + 3))) return Layer::stop;
    if (!c.has(2)) return Layer::stop;
  }
  if (c.u16(c.offset) == 0 && !c.skip(8)) return Layer::stop;
  c.enter_tunnel(TunnelKind::teredo, -1);
  return Layer::ipv6;
}

/** RFC 2661, data messages of version 2: they carry PPP. */
Layer read_l2tp(Cursor& c) {
  if (!c.has(6)) return Layer::stop;
  const uint16_t flags = c.u16(c.offset);
  const bool has_length = (flags & 0x4000) != 0;
  const bool has_sequence = (flags & 0x0800) != 0;
  const bool has_offset = (flags & 0x0200) != 0;
  const bool is_control = (flags & 0x8000) != 0;
  if (is_control || (flags & 15) != 2) return Layer::stop;
  int64_t length = 6 + (has_length ? 2 : 0) + (has_sequence ? 4 : 0);
  if (has_offset) {
    if (!c.has(length + 2)) return Layer::stop;
    length += 2 + c.u16(c.offset + length);
  }
  if (!c.has(length)) return Layer::stop;
  c.enter_tunnel(TunnelKind::l2tp, c.u16(c.offset + (has_length ? 4 : 2)));
  c.offset += length;
  return Layer::ppp;
}

/** TaZmen Sniffer Protocol, by which wireless and MikroTik devices mirror frames; only Ethernet is read. */
Layer read_tzsp(Cursor& c) {
  constexpr uint8_t padding = 0;
  constexpr uint8_t last = 1;
  if (!c.has(4)) return Layer::stop;
  const bool is_ethernet = c.u16(c.offset + 2) == 1;
  c.offset += 4;
  while (c.has(1)) {
    const uint8_t tag = c.u8(c.offset++);
    if (tag == last) {
      c.enter_tunnel(TunnelKind::tzsp, -1);
      return is_ethernet ? Layer::ethernet : Layer::stop;
    }
    if (tag == padding) continue;
    if (!c.has(1)) return Layer::stop;
    c.offset += 1 + c.u8(c.offset);
  }
  return Layer::stop;
}

/** draft-massar-v6ops-ayiya: identity and signature in front of IPv6 (operation 1 is forwarding). */
Layer read_ayiya(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const int64_t identity_bytes = 1 << (c.u8(c.offset) >> 4);
  const int64_t signature_bytes = (c.u8(c.offset + 1) >> 4) * 4;
  const int operation = c.u8(c.offset + 2) & 15;
  const uint8_t next_header = c.u8(c.offset + 3);
  const int64_t length = 8 + identity_bytes + signature_bytes;
  if (operation != 1 || !c.has(length)) return Layer::stop;
  c.enter_tunnel(TunnelKind::ayiya, -1);
  c.offset += length;
  if (next_header == 4) return Layer::ipv4;
  return next_header == 41 ? Layer::ipv6 : Layer::stop;
}

/** RFC 9300 section 5: eight bytes, then IP. */
Layer read_lisp(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  c.enter_tunnel(TunnelKind::lisp, -1);
  c.offset += 8;
  return Layer::ip;
}

/** RFC 7510. */
Layer read_mpls_in_udp(Cursor& c) {
  c.enter_tunnel(TunnelKind::mpls_in_udp, -1);
  return Layer::mpls;
}

}  // namespace proclabel::packet
