#include "packet/duplicates.hh"

#include <algorithm>
#include <bit>
#include <cmath>

namespace proclabel::packet {

namespace {

constexpr size_t payload_words = 10;
constexpr size_t ipv6_header = 40;

/** Two multiplicative hashes side by side. */
class Mixer {
 public:
  void add(uint32_t word) {
    first_ = std::rotl((first_ ^ word) * 0x85eb'ca6bu, 13);
    second_ = std::rotl((second_ ^ std::rotl(word, 16)) * 0xc2b2'ae35u, 17);
  }
  Fingerprint result() const { return {first_ ^ first_ >> 15, second_ ^ second_ >> 13}; }

 private:
  uint32_t first_ = 0x9747'b28c;
  uint32_t second_ = 0x3c6e'f372;
};

uint32_t byte(Slice bytes, size_t at) { return bytes.read<uint8_t>(at).value_or(0); }

/** The word at `at`, little-endian; what is beyond the end is 0. */
uint32_t word(Slice bytes, size_t at) {
  if (const auto whole = bytes.read<uint32_t>(at)) return *whole;
  return byte(bytes, at) | byte(bytes, at + 1) << 8 | byte(bytes, at + 2) << 16 | byte(bytes, at + 3) << 24;
}

}  // namespace

Fingerprint fingerprint_of(Slice ip) {
  Mixer mixer;
  const uint32_t version_and_length = byte(ip, 0);
  size_t at;
  if (version_and_length >> 4 == 4) {
    mixer.add(word(ip, 2) & 0xffff);
    mixer.add(word(ip, 4));
    mixer.add(byte(ip, 9));
    for (at = 12; at < 20; at += 4) mixer.add(word(ip, at));
    at = (version_and_length & 15) * 4;
  } else {
    // Payload length and next header; the hop limit is behind them.
    mixer.add(word(ip, 4) & 0x00ff'ffff);
    for (at = 8; at < ipv6_header; at += 4) mixer.add(word(ip, at));
  }
  for (size_t i = 0; i < payload_words; i++) mixer.add(word(ip, at + i * 4));
  return mixer.result();
}

bool Duplicates::is_repeated(const Fingerprint& packet, double time_us) {
  auto& remembered = sets_[packet.first % set_count].remembered;
  for (const Way& way : remembered)
    if (way.packet == packet && std::abs(time_us - way.time_us) <= window_us_) return true;
  *std::ranges::min_element(remembered, {}, &Way::time_us) = {packet, time_us};
  return false;
}

}  // namespace proclabel::packet
