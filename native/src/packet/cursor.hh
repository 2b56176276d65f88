#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "packet/packet.hh"
#include "slice.hh"

namespace proclabel::packet {

/** What became of a frame: the words of services/core/decode/reason.ts, in its order. */
enum class Reason : uint8_t {
  ok,
  not_ip,
  unsupported_link_type,
  truncated_header,
  bad_version,
  bad_header_length,
  too_many_layers,
  fragment_held,
  tunnel_fragment,
};

/** What comes next in a frame: each layer's reader moves the cursor to the next layer and answers with that layer. */
enum class Layer : uint8_t {
  stop,
  ethernet,
  vlan,
  llc,
  mpls,
  ppp,
  pppoe,
  cisco_hdlc,
  ipv4,
  ipv6,
  /** IPv4 or IPv6 by the version nibble. */
  ip,
  tcp,
  udp,
  icmp,
  other_ip,
  later_fragment,
  gre,
  vxlan,
  vxlan_gpe,
  geneve,
  gtp_u,
  teredo,
  l2tp,
  mpls_in_udp,
  nsh,
  macsec,
  vn_tag,
  provider_backbone,
  ip_in_ip,
  fabric_path,
  tzsp,
  ayiya,
  lisp,
  e_tag,
  ether_ip,
  mpls_in_ip,
  pim,
};

/** How good the packet is that has been filled in: nothing, an IP protocol without ports we know, or TCP/UDP. */
enum class Quality : uint8_t { nothing, other, ports };

/** An IP header met on the way that begins a fragmented packet. */
struct FirstFragment {
  int64_t ip_offset;
  uint32_t id;
};

/**
 * Where decoding stands in one frame, and what of it has been decided so far; services/core/decode/cursor.ts is its twin.
 * Offsets count from the frame's first byte and are signed, since a lying length may put an end before the place where
 * reading stands. Readers ask `has` first; a read beyond the frame would give 0.
 */
class Cursor {
 public:
  Cursor(Slice frame, uint32_t wire_length)
      : end(static_cast<int64_t>(frame.size())), wire_end(std::max<int64_t>(end, wire_length)), frame_(frame) {}

  uint8_t u8(int64_t at) const { return frame_.read<uint8_t>(static_cast<size_t>(at)).value_or(0); }
  uint16_t u16(int64_t at) const { return __builtin_bswap16(u16le(at)); }
  uint32_t u32(int64_t at) const { return __builtin_bswap32(u32le(at)); }
  uint16_t u16le(int64_t at) const { return frame_.read<uint16_t>(static_cast<size_t>(at)).value_or(0); }
  uint32_t u32le(int64_t at) const { return frame_.read<uint32_t>(static_cast<size_t>(at)).value_or(0); }

  Address address(int64_t at, int version) const {
    if (version == 4) return {0, 0xffff'0000 | static_cast<uint64_t>(u32le(at)) << 32};
    return frame_.read<Address>(static_cast<size_t>(at)).value_or(Address{});
  }

  /** Are `count` more bytes captured? If not, the frame is a truncated one. */
  bool has(int64_t count) {
    if (end - offset >= count) return true;
    reason = Reason::truncated_header;
    return false;
  }

  /** Moves on if `count` more bytes are captured. */
  bool skip(int64_t count) {
    if (!has(count)) return false;
    offset += count;
    return true;
  }

  Layer stop(Reason why) {
    reason = why;
    return Layer::stop;
  }

  /** The current layer ends at `at`: what follows is padding or a trailer. */
  void limit(int64_t at) {
    end = std::min(end, at);
    wire_end = std::min(wire_end, at);
  }

  /** What follows is carried by the current IP header. */
  void enter_tunnel(TunnelKind kind, int64_t id) {
    tunnel_kind = kind;
    tunnel_ip_offset = ip_offset;
    tunnel_ip_version = ip_version;
    tunnel_id = id;
  }

  void note_first_fragment() {
    if (first_fragment_count < first_fragments.size()) first_fragments[first_fragment_count++] = {ip_offset, fragment_id};
  }

  /** Makes the current IP header the one of the session, with nothing known of its payload yet. */
  void commit(Packet& packet, Quality quality) {
    committed = quality;
    committed_ip_offset = ip_offset;
    packet.source = address(source_offset, ip_version);
    packet.destination = address(destination_offset, ip_version);
    packet.protocol = protocol;
    packet.source_port = 0;
    packet.destination_port = 0;
    packet.ip_offset = static_cast<uint32_t>(ip_offset);
    packet.ip_length = static_cast<uint32_t>(ip_length);
    packet.tcp_flags = 0;
    packet.tcp_sequence = 0;
    packet.later_fragment = false;
    packet.vlan = vlan;
    set_tunnel(packet.tunnel);
    set_payload(packet, offset);
  }

  void set_payload(Packet& packet, int64_t at) const {
    packet.payload_offset = static_cast<uint32_t>(std::max<int64_t>(0, std::min(at, end)));
    packet.payload_length = static_cast<uint32_t>(std::max<int64_t>(0, ip_end - at));
    packet.payload_captured = static_cast<uint32_t>(std::max<int64_t>(0, end - at));
  }

  /** Next byte to read, and the end of what was captured of the layer around it. */
  int64_t offset = 0;
  int64_t end;
  /** End of the layer around on the wire; beyond `end` where a snap length cut the frame. */
  int64_t wire_end;
  Reason reason = Reason::not_ip;
  uint16_t vlan = no_vlan;

  /** The IP header read last: where it is, its length fields, and where its payload ends on the wire. */
  int ip_version = 0;
  int64_t ip_offset = 0;
  int64_t ip_length = 0;
  int64_t ip_end = 0;
  /** The protocol after the IP header and its extension headers. */
  uint8_t protocol = 0;
  /** Where the packet's addresses are. */
  int64_t source_offset = 0;
  int64_t destination_offset = 0;
  /** Identification of the fragment read last. */
  uint32_t fragment_id = 0;

  /** The tunnel around the current IP header, by the IP header that carries it. */
  TunnelKind tunnel_kind = TunnelKind::none;
  int tunnel_ip_version = 0;
  int64_t tunnel_ip_offset = 0;
  int64_t tunnel_id = -1;

  Quality committed = Quality::nothing;
  int64_t committed_ip_offset = -1;
  uint32_t first_fragment_count = 0;
  std::array<FirstFragment, 4> first_fragments;

 private:
  void set_tunnel(Tunnel& tunnel) const {
    tunnel.kind = tunnel_kind;
    if (tunnel_kind == TunnelKind::none) return;
    const int64_t at = tunnel_ip_offset;
    tunnel.source = address(tunnel_ip_version == 4 ? at + 12 : at + 8, tunnel_ip_version);
    tunnel.destination = address(tunnel_ip_version == 4 ? at + 16 : at + 24, tunnel_ip_version);
    tunnel.id = tunnel_id;
  }

  Slice frame_;
};

}  // namespace proclabel::packet
