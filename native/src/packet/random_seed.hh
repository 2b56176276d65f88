#pragma once

#include <cstdint>
#include <random>

namespace proclabel::packet {

/** Secret, one a process, so that nobody can make packets that meet in one slot of a hash table. Only speed depends on it. */
inline uint64_t random_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return seed;
}

/** One step of a hash: multiplies to 128 bits and folds; the constant is any odd one with its bits mixed well. */
inline uint64_t mix_bits(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9e37'79b9'7f4a'7c15) * (b ^ 0xd6e8'feb8'6659'fd93);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace proclabel::packet
