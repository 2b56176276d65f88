#pragma once

#include <algorithm>

#include "socket_source.hh"

namespace proclabel {

inline bool is_v4(const Address& address) {
  constexpr std::array<uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

inline bool is_unspecified(const Address& address) {
  constexpr Address v4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, v6{};
  return address == v4 || address == v6;
}

inline bool is_loopback(const Address& address) {
  constexpr Address v6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return is_v4(address) ? address[12] == 127 : address == v6;
}

}  // namespace proclabel
