#include "session/digest.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace proclabel::session {

namespace {

constexpr size_t block_bytes = 64;

constexpr std::array<uint32_t, 64> sha256_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t big_endian(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}

struct Sha1 {
  static constexpr size_t words = 5;
  using State = std::array<uint32_t, words>;
  static constexpr State first = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

  static void add(State& state, const uint8_t* block) {
    uint32_t schedule[80];
    for (int t = 0; t < 16; t++) schedule[t] = big_endian(block + t * 4);
    for (int t = 16; t < 80; t++)
      schedule[t] = std::rotl(schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    const auto rounds = [&](int from, int to, uint32_t constant, auto mix) {
      for (int t = from; t < to; t++) {
        const uint32_t next = std::rotl(a, 5) + mix(b, c, d) + e + constant + schedule[t];
        e = d;
        d = c;
        c = std::rotl(b, 30);
        b = a;
        a = next;
      }
    };
    const auto parity = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
    rounds(0, 20, 0x5a827999, [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) ^ (~x & z); });
    rounds(20, 40, 0x6ed9eba1, parity);
    rounds(40, 60, 0x8f1bbcdc, [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) ^ (x & z) ^ (y & z); });
    rounds(60, 80, 0xca62c1d6, parity);
    const State change = {a, b, c, d, e};
    for (size_t i = 0; i < words; i++) state[i] += change[i];
  }
};

struct Sha256 {
  static constexpr size_t words = 8;
  using State = std::array<uint32_t, words>;
  static constexpr State first = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

  static void add(State& state, const uint8_t* block) {
    uint32_t schedule[64];
    for (int t = 0; t < 16; t++) schedule[t] = big_endian(block + t * 4);
    for (int t = 16; t < 64; t++) {
      const uint32_t before = schedule[t - 15], after = schedule[t - 2];
      schedule[t] = schedule[t - 16] + (std::rotr(before, 7) ^ std::rotr(before, 18) ^ (before >> 3)) +
                    schedule[t - 7] + (std::rotr(after, 17) ^ std::rotr(after, 19) ^ (after >> 10));
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int t = 0; t < 64; t++) {
      const uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                           sha256_constants[t] + schedule[t];
      const uint32_t two = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + one;
      d = c;
      c = b;
      b = a;
      a = one + two;
    }
    const State change = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < words; i++) state[i] += change[i];
  }
};

/** Whole blocks, then the rest with its padding: a one bit, zeros, and the length in bits. */
template <typename Hash>
std::array<uint8_t, Hash::words * 4> digest(const uint8_t* message, size_t size) {
  auto state = Hash::first;
  const size_t whole = size / block_bytes * block_bytes;
  for (size_t at = 0; at < whole; at += block_bytes) Hash::add(state, message + at);
  uint8_t rest[2 * block_bytes] = {};
  std::copy(message + whole, message + size, rest);
  const size_t left = size - whole;
  rest[left] = 0x80;
  const size_t padded = left + 9 <= block_bytes ? block_bytes : 2 * block_bytes;
  const uint64_t bits = __builtin_bswap64(static_cast<uint64_t>(size) * 8);
  std::memcpy(rest + padded - sizeof bits, &bits, sizeof bits);
  for (size_t at = 0; at < padded; at += block_bytes) Hash::add(state, rest + at);
  std::array<uint8_t, Hash::words * 4> bytes;
  for (size_t i = 0; i < Hash::words; i++) {
    const uint32_t word = __builtin_bswap32(state[i]);
    std::memcpy(bytes.data() + i * 4, &word, sizeof word);
  }
  return bytes;
}

}  // namespace

std::array<uint8_t, 20> sha1(const uint8_t* message, size_t size) { return digest<Sha1>(message, size); }

std::array<uint8_t, 32> sha256(const uint8_t* message, size_t size) { return digest<Sha256>(message, size); }

}  // namespace proclabel::session
