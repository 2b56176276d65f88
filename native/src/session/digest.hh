#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace proclabel::session {

/** SHA-1 and SHA-256 (FIPS 180-4) of a message in one piece; for names of sessions, not for secrets. */
std::array<uint8_t, 20> sha1(const uint8_t* message, size_t size);
std::array<uint8_t, 32> sha256(const uint8_t* message, size_t size);

}  // namespace proclabel::session
