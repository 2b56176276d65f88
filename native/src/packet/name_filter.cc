#include "packet/name_filter.hh"

#include <algorithm>
#include <array>

namespace proclabel::packet {

namespace {

// The limits of WireNames, which has them from `defaultNameLimits`.
constexpr uint32_t tcp_bytes_looked = 64 * 1024;
constexpr uint32_t udp_datagrams_looked = 32;
constexpr uint32_t kept_without_syn = 4 * 1024;
constexpr uint32_t segment_cost = 16;

constexpr size_t record_header = 5;
constexpr size_t change_cipher_spec_record = 6;

uint8_t byte(Slice bytes, size_t at) { return bytes.read<uint8_t>(at).value_or(0); }
uint16_t big_endian_16(Slice bytes, size_t at) { return __builtin_bswap16(bytes.read<uint16_t>(at).value_or(0)); }

/** DNS, mDNS (RFC 6762) and LLMNR (RFC 4795). */
bool is_dns_port(uint16_t port) { return port == 53 || port == 5353 || port == 5355; }

bool wants_tcp(NameState& state, const Packet& packet, Slice payload, bool from_low) {
  const int end = from_low ? 0 : 1;
  const bool is_syn = (packet.tcp_flags & flag_syn) != 0;
  const uint32_t sequence = packet.tcp_sequence + (is_syn ? 1 : 0);
  const uint32_t next = is_syn ? sequence : state.next[end];
  const bool known = is_syn || state.known[end];
  const auto size = static_cast<uint32_t>(payload.size());
  uint32_t looked = state.looked;
  if (size > 0 && is_dns_port(packet.source_port)) return true;
  if (size > 0 && !is_dns_port(packet.destination_port)) {
    looked += size + segment_cost;
    if (looked > tcp_bytes_looked) {
      state.looked = looked;
      state.decided = true;
      return false;
    }
    // Bytes missing before this segment; negative: bytes of it that have been seen before.
    const auto missing = known ? static_cast<int32_t>(sequence - next) : 0;
    if (missing > 0 || (!known && looked <= kept_without_syn) || may_begin_hello(payload)) return true;
    const auto repeated = static_cast<size_t>(-static_cast<int64_t>(missing));
    if (repeated > 0 && repeated < size && may_begin_hello(payload.part(repeated))) return true;
    const bool is_new = missing + static_cast<int64_t>(size) > 0;
    state.next[end] = is_new ? sequence + packet.payload_length : next;
    state.known[end] = true;
    state.looked = looked;
  } else if (is_syn) {
    state.next[end] = next;
    state.known[end] = true;
  }
  return false;
}

bool wants_udp(NameState& state, const Packet& packet, Slice payload) {
  constexpr uint8_t response = 0x80;
  if (is_dns_port(packet.source_port)) return payload.size() > 2 && byte(payload, 2) >= response;
  if (is_dns_port(packet.destination_port)) return false;
  if (may_be_quic(payload)) return true;
  state.looked++;
  state.decided = state.looked > udp_datagrams_looked;
  return false;
}

}  // namespace

bool wants_name(NameState& state, const Packet& packet, Slice payload, bool from_low) {
  if (state.decided || packet.later_fragment) return false;
  const bool is_tcp = packet.protocol == protocol_tcp;
  const bool is_syn = is_tcp && (packet.tcp_flags & flag_syn) != 0;
  if (!is_syn && (payload.size() == 0 || (!is_tcp && packet.protocol != protocol_udp))) return false;
  if (state.with_caller) return true;
  return is_tcp ? wants_tcp(state, packet, payload, from_low) : wants_udp(state, packet, payload);
}

bool may_begin_hello(Slice bytes) {
  const uint8_t type = byte(bytes, 0);
  if (type != 0x16 && type != 0x14) return false;
  const size_t size = bytes.size();
  if (size > 1 && byte(bytes, 1) != 3) return false;
  if (size > 2 && byte(bytes, 2) > 4) return false;
  if (size < record_header) return true;
  const uint16_t record_length = big_endian_16(bytes, 3);
  if (type == 0x14) {
    if (record_length != 1) return false;
    const Slice next = bytes.part(change_cipher_spec_record);
    return next.size() == 0 || (byte(next, 0) == 0x16 && may_begin_hello(next));
  }
  if (record_length == 0 || record_length > 1 << 14) return false;
  if (size > 5 && byte(bytes, 5) != 1) return false;
  if (record_length < 6) return true;
  if (size > 6 && byte(bytes, 6) != 0) return false;
  return size <= 9 || byte(bytes, 9) == 3;
}

bool may_be_quic(Slice bytes) {
  if (bytes.size() < 7 || byte(bytes, 0) < 0x80) return false;
  // As in quic.ts: versions 1 (RFC 9000) and 2 (RFC 9369) and their drafts, Facebook's mvfst, Google's T050 and T051, and
  // numbers that are reserved to ask for others.
  const uint32_t version = __builtin_bswap32(bytes.read<uint32_t>(1).value_or(0));
  constexpr std::array<uint32_t, 8> known{1,           0x6b33'43cf, 0xff02'0000, 0xface'b001,
                                          0xface'b002, 0xface'b00e, 0x5430'3530, 0x5430'3531};
  return std::ranges::find(known, version) != known.end() || (version >= 0xff00'0016 && version <= 0xff00'0022) ||
         (version & 0x0f0f'0f0f) == 0x0a0a'0a0a;
}

}  // namespace proclabel::packet
