#include "packet/layers.hh"

namespace proclabel::packet {

namespace {

Layer layer_of_family(uint32_t family) {
  if (family == 2) return Layer::ipv4;
  // AF_INET6 of NetBSD and OpenBSD, FreeBSD, macOS.
  return family == 24 || family == 28 || family == 30 ? Layer::ipv6 : Layer::stop;
}

/** BSD null and loopback: an address family of four bytes, in the byte order of the machine that captured. */
Layer read_loopback(Cursor& c) {
  if (!c.has(4)) return Layer::stop;
  const uint32_t little = c.u32le(c.offset);
  const uint32_t family = little > 0xffff ? c.u32(c.offset) : little;
  c.offset += 4;
  const Layer layer = layer_of_family(family);
  return layer != Layer::stop ? layer : layer_of_ethertype(family);
}

/** FDDI: frame control and two addresses; frame controls 0x50 to 0x57 announce LLC. */
Layer read_fddi(Cursor& c) {
  if (!c.has(13)) return Layer::stop;
  const bool is_llc = (c.u8(c.offset) & 0xf8) == 0x50;
  c.offset += 13;
  return is_llc ? Layer::llc : Layer::stop;
}

/** IEEE 802.5: access and frame control, two addresses, and a route where the source's first bit says so; frame control 0x40 is LLC. */
Layer read_token_ring(Cursor& c) {
  if (!c.has(14)) return Layer::stop;
  const bool is_llc = (c.u8(c.offset + 1) & 0xc0) == 0x40;
  const bool is_routed = (c.u8(c.offset + 8) & 0x80) != 0;
  c.offset += 14;
  if (!is_llc) return Layer::stop;
  if (is_routed) {
    if (!c.has(2)) return Layer::stop;
    const int64_t length = c.u8(c.offset) & 0x1f;
    if (length < 2) return c.stop(Reason::bad_header_length);
    if (!c.skip(length)) return Layer::stop;
  }
  return Layer::llc;
}

/**
 * IEEE 802.11-2020 section 9.2.4: data frames that nothing encrypts, neither later fragments nor several in one (A-MSDU). Their header has
 * a fourth address between two access points, QoS control and HT control where its bits say so.
 */
Layer read_wireless(Cursor& c) {
  if (!c.has(24)) return Layer::stop;
  const uint8_t control = c.u8(c.offset), flags = c.u8(c.offset + 1);
  const bool is_data = (control & 0x0c) == 0x08, is_empty = (control & 0x40) != 0, is_qos = (control & 0x80) != 0;
  const bool is_later_fragment = (c.u8(c.offset + 22) & 0x0f) != 0;
  if (!is_data || is_empty || is_later_fragment || (flags & 0x40) != 0) return Layer::stop;
  c.offset += (flags & 0x03) == 0x03 ? 30 : 24;
  if (!is_qos) return Layer::llc;
  const int64_t length = (flags & 0x80) != 0 ? 6 : 2;
  if (!c.has(length) || (c.u8(c.offset) & 0x80) != 0) return Layer::stop;
  c.offset += length;
  return Layer::llc;
}

/** What a receiver of 802.11 tells in front of the frame (radiotap.org): version, and its own length, little-endian. */
Layer read_radiotap(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const int64_t length = c.u16le(c.offset + 2);
  if (length < 8) return c.stop(Reason::bad_header_length);
  if (!c.skip(length)) return Layer::stop;
  return read_wireless(c);
}

/** Linux's own numbers (ETH_P_ALL, ETH_P_802_2, ETH_P_PPP_MP) are below the EtherTypes. */
Layer layer_of_linux_protocol(uint16_t protocol) {
  if (protocol == 3) return Layer::ethernet;
  if (protocol == 4) return Layer::llc;
  return protocol == 7 ? Layer::ppp : layer_of_ethertype(protocol);
}

/** A header of `length` bytes that holds a protocol number at `protocol_at`. */
Layer read_linux_cooked(Cursor& c, int64_t length, int64_t protocol_at) {
  if (!c.has(length)) return Layer::stop;
  const uint16_t protocol = c.u16(c.offset + protocol_at);
  c.offset += length;
  return layer_of_linux_protocol(protocol);
}

constexpr uint16_t nflog_payload = 9;

/** Netfilter log: family, version, resource id, then attributes whose lengths are in the capturing machine's byte order. */
Layer read_nflog(Cursor& c) {
  if (!c.has(4)) return Layer::stop;
  const uint8_t family = c.u8(c.offset);
  c.offset += 4;
  while (c.has(4)) {
    // Types are small: of the two bytes of the type, the one that is zero is the upper one.
    const bool big_endian = c.u8(c.offset + 2) == 0 && c.u8(c.offset + 3) != 0;
    const uint16_t length = big_endian ? c.u16(c.offset) : c.u16le(c.offset);
    const uint16_t type = big_endian ? c.u16(c.offset + 2) : c.u16le(c.offset + 2);
    if (length < 4) return c.stop(Reason::bad_header_length);
    if ((type & 0x7fff) == nflog_payload) {
      c.limit(c.offset + length);
      c.offset += 4;
      if (family == 2) return Layer::ipv4;
      return family == 10 ? Layer::ipv6 : Layer::stop;
    }
    c.offset += (length + 3) & ~3;
  }
  return Layer::stop;
}

/** Frame relay with the encapsulation of RFC 2427: address of two to four bytes, control, protocol id. */
Layer read_frame_relay(Cursor& c) {
  bool is_last = false;
  while (!is_last) {
    if (!c.has(1)) return Layer::stop;
    is_last = (c.u8(c.offset++) & 1) == 1;
  }
  if (!c.has(2)) return Layer::stop;
  if (c.u8(c.offset) != 3) {
    // Cisco's own encapsulation: an EtherType.
    const uint16_t type = c.u16(c.offset);
    c.offset += 2;
    return layer_of_ethertype(type);
  }
  // A padding byte may stand in front of the protocol id.
  if (c.u8(c.offset + 1) == 0) c.offset++;
  if (!c.has(2)) return Layer::stop;
  const uint8_t protocol = c.u8(c.offset + 1);
  c.offset += 2;
  if (protocol == 0xcc) return Layer::ipv4;
  if (protocol == 0x8e) return Layer::ipv6;
  return protocol == 0x80 ? read_snap(c) : Layer::stop;
}

constexpr uint8_t juniper_stripped = 0x02, juniper_extended = 0x80;

/** Juniper's router in front of an Ethernet frame: "MGC", flags, extensions behind their length (tcpdump's print-juniper.c). */
Layer read_juniper_ethernet(Cursor& c) {
  if (!c.has(4)) return Layer::stop;
  if (c.u32(c.offset) >> 8 != 0x4d4743) return Layer::stop;
  const uint8_t flags = c.u8(c.offset + 3);
  c.offset += 4;
  if ((flags & juniper_extended) != 0) {
    if (!c.has(2)) return Layer::stop;
    if (!c.skip(2 + c.u16(c.offset))) return Layer::stop;
  }
  return (flags & juniper_stripped) != 0 ? Layer::ip : Layer::ethernet;
}

/** IP over InfiniBand: a global route header of 40 bytes, then the encapsulation header of RFC 4391 section 6. */
Layer read_infini_band(Cursor& c) {
  if (!c.has(44)) return Layer::stop;
  const uint16_t type = c.u16(c.offset + 40);
  c.offset += 44;
  return layer_of_ethertype(type);
}

/** OpenBSD's packet filter log: its own length without padding to four bytes, then the address family. */
Layer read_pflog(Cursor& c) {
  if (!c.has(2)) return Layer::stop;
  const int64_t length = (c.u8(c.offset) + 3) & ~3;
  const uint8_t family = c.u8(c.offset + 1);
  if (!c.skip(length)) return Layer::stop;
  return layer_of_family(family);
}

/** Wrappers do not nest: a hostile frame could hold thousands, each a call deep. */
Layer read_wrapped_link(Cursor& c, uint32_t link_type) {
  const bool is_wrapper = link_type == 149 || link_type == 192 || link_type == 258;
  if (is_wrapper || link_type > 0xffff) return c.stop(Reason::unsupported_link_type);
  return read_link(c, static_cast<uint16_t>(link_type));
}

/** Per-packet information: its own length, then the link type of the frame behind it, both little-endian. */
Layer read_ppi(Cursor& c) {
  if (!c.has(8)) return Layer::stop;
  const uint16_t length = c.u16le(c.offset + 2);
  const uint32_t link_type = c.u32le(c.offset + 4);
  if (length < 8) return c.stop(Reason::bad_header_length);
  if (!c.skip(length)) return Layer::stop;
  return read_wrapped_link(c, link_type);
}

/** macOS packet tap: a little-endian header that says its own length and the link type of the frame behind it. */
Layer read_pktap(Cursor& c) {
  if (!c.has(12)) return Layer::stop;
  const uint32_t length = c.u32le(c.offset);
  const uint32_t type = c.u32le(c.offset + 4);
  const uint32_t link_type = c.u32le(c.offset + 8);
  if (type != 1) return Layer::stop;
  if (length < 12) return c.stop(Reason::bad_header_length);
  if (!c.skip(length)) return Layer::stop;
  return read_wrapped_link(c, link_type);
}

}  // namespace

/** Reads the link-layer header of a frame as its capture names it (LINKTYPE_ value); answers with the next layer. */
Layer read_link(Cursor& c, uint16_t link_type) {
  switch (link_type) {
    case 1:
      return Layer::ethernet;
    case 0:
    case 108:
      return read_loopback(c);
    case 9:
    case 50:
      return Layer::ppp;
    case 6:
      return read_token_ring(c);
    case 10:
      return read_fddi(c);
    case 12:
    case 14:
    case 101:
      return Layer::ip;
    case 228:
      return Layer::ipv4;
    case 229:
      return Layer::ipv6;
    case 51:
      return Layer::pppoe;
    case 204:
      // One byte tells the direction.
      c.offset++;
      return Layer::ppp;
    case 100:
      return Layer::llc;
    case 117:
      return read_pflog(c);
    case 104:
      return Layer::cisco_hdlc;
    case 113:
      return read_linux_cooked(c, 16, 14);
    case 276:
      return read_linux_cooked(c, 20, 0);
    case 239:
      return read_nflog(c);
    case 105:
      return read_wireless(c);
    case 127:
      return read_radiotap(c);
    case 107:
      return read_frame_relay(c);
    case 178:
      return read_juniper_ethernet(c);
    case 242:
      return read_infini_band(c);
    case 192:
      return read_ppi(c);
    // 149 is DLT_USER2, which macOS wrote for PKTAP.
    case 149:
    case 258:
      return read_pktap(c);
    default:
      return c.stop(Reason::unsupported_link_type);
  }
}

}  // namespace proclabel::packet
