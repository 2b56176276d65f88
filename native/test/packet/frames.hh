#pragma once

#include <initializer_list>
#include <vector>

#include "packet/frame_decoder.hh"
#include "test.hh"

/** Frames for tests, built from the inside out. */
namespace frames {

using Bytes = std::vector<uint8_t>;
namespace packet = proclabel::packet;

inline Bytes join(std::initializer_list<Bytes> parts) {
  Bytes whole;
  for (const Bytes& part : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

inline Bytes u16(unsigned value) { return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)}; }
inline Bytes u32(uint32_t value) { return join({u16(value >> 16), u16(value & 0xffff)}); }
inline Bytes text(const char* characters) { return Bytes(characters, characters + std::char_traits<char>::length(characters)); }

inline Bytes tcp(unsigned from, unsigned to, uint8_t flags = 0x10, const Bytes& payload = {}, uint32_t sequence = 1) {
  return join({u16(from), u16(to), u32(sequence), u32(0), {0x50, flags}, u16(1000), u32(0), payload});
}

inline Bytes udp(unsigned from, unsigned to, const Bytes& payload = {}) {
  return join({u16(from), u16(to), u16(8 + payload.size()), u16(0), payload});
}

/** From 10.0.0.1 to 10.0.0.2; `fragment` is the field of flags and offset. */
inline Bytes ipv4(uint8_t protocol, const Bytes& payload, unsigned fragment = 0, uint8_t from = 1, uint8_t to = 2) {
  return join({{0x45, 0}, u16(20 + payload.size()), u16(77), u16(fragment), {64, protocol}, u16(0), {10, 0, 0, from},
               {10, 0, 0, to}, payload});
}

/** From 2001:db8::1 to 2001:db8::2. */
inline Bytes ipv6(uint8_t next_header, const Bytes& payload) {
  const Bytes prefix = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  return join({{0x60, 0, 0, 0}, u16(payload.size()), {next_header, 64}, prefix, {1}, prefix, {2}, payload});
}

inline Bytes ethernet(unsigned type, const Bytes& payload) {
  return join({Bytes(12, 0x02), u16(type), payload});
}

constexpr uint16_t ethernet_link = 1;

inline proclabel::Slice slice_of(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }

/** What a decoder makes of one frame. */
struct Decoded {
  packet::Reason reason;
  packet::Packet packet;
  std::vector<packet::Packet> released;
};

inline Decoded decode(packet::FrameDecoder& decoder, const Bytes& frame, uint16_t link_type = ethernet_link,
                      double time_us = 0, uint32_t wire_length = 0) {
  Decoded decoded;
  decoded.packet.time_us = time_us;
  decoded.packet.wire_length = std::max(wire_length, static_cast<uint32_t>(frame.size()));
  decoded.reason = decoder.decode(slice_of(frame), link_type, decoded.packet, decoded.released);
  return decoded;
}

inline Decoded decode(const Bytes& frame, uint16_t link_type = ethernet_link, uint32_t wire_length = 0) {
  packet::FrameDecoder decoder;
  return decode(decoder, frame, link_type, 0, wire_length);
}

/** 10.0.0.`last`. */
inline packet::Address address(uint8_t last) { return {0, 0x0000'000a'ffff'0000 | static_cast<uint64_t>(last) << 56}; }

}  // namespace frames

namespace proclabel::packet {

inline std::ostream& operator<<(std::ostream& out, Reason reason) { return out << "reason " << static_cast<int>(reason); }
inline std::ostream& operator<<(std::ostream& out, TunnelKind kind) { return out << "tunnel " << static_cast<int>(kind); }
inline std::ostream& operator<<(std::ostream& out, const Address& a) { return out << std::hex << a.head << '/' << a.tail; }

}  // namespace proclabel::packet
