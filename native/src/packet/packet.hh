#pragma once

#include <bit>
#include <compare>
#include <cstdint>

namespace proclabel::packet {

/** 16 bytes as they are on the wire (not numbers); IPv4 is v4-mapped (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2). */
struct Address {
  uint64_t head = 0;
  uint64_t tail = 0;

  bool operator==(const Address&) const = default;

  /** Which end of a flow is its low one: word by word, as signed numbers. flow-table.ts compares the same way. */
  std::strong_ordering operator<=>(const Address& other) const {
    if (head != other.head) return ordinal(head) <=> ordinal(other.head);
    return ordinal(tail) <=> ordinal(other.tail);
  }

 private:
  static uint64_t ordinal(uint64_t bytes) { return __builtin_bswap64(bytes) ^ 0x8000'0000'8000'0000; }
};

// Columns cross as the memory they are.
static_assert(std::endian::native == std::endian::little);

/** In the order of `tunnelKinds` in native.ts. */
enum class TunnelKind : uint8_t {
  none,
  gre,
  erspan,
  vxlan,
  geneve,
  gtp_u,
  ip_in_ip,
  six_in_four,
  teredo,
  l2tp,
  mpls_in_udp,
  tzsp,
  ayiya,
  lisp,
  ether_ip,
  mpls_in_ip,
  pim_register,
};

/** The outer header of a tunnelled packet: what carried the frame whose TCP or UDP header makes the session. */
struct Tunnel {
  TunnelKind kind = TunnelKind::none;
  Address source;
  Address destination;
  /** VNI, GRE key, ERSPAN session id or TEID; -1 where the tunnel has none. */
  int64_t id = -1;
};

constexpr uint16_t no_vlan = 0xffff;

constexpr uint8_t protocol_tcp = 6;
constexpr uint8_t protocol_udp = 17;
constexpr uint8_t flag_syn = 2;
constexpr uint8_t flag_ack = 16;

/** One decoded packet; what each field means stands in services/core/decode/packet.ts. */
struct Packet {
  /** Microseconds since the epoch, whole; a double, as it crosses. */
  double time_us = 0;
  uint32_t wire_length = 0;
  Address source;
  Address destination;
  uint8_t protocol = 0;
  uint8_t tcp_flags = 0;
  bool later_fragment = false;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint16_t vlan = no_vlan;
  uint32_t ip_length = 0;
  uint32_t tcp_sequence = 0;
  /** From the frame's first byte on, as payload_offset. */
  uint32_t ip_offset = 0;
  uint32_t payload_offset = 0;
  uint32_t payload_length = 0;
  uint32_t payload_captured = 0;
  Tunnel tunnel;
};

}  // namespace proclabel::packet
