#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

/** Payloads as the manifests of the providers lay them out: field after field, no gaps. */
class EtwBytes {
 public:
  template <typename T>
  EtwBytes& add(T value) {
    const auto* begin = reinterpret_cast<const uint8_t*>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof value);
    return *this;
  }

  EtwBytes& port(uint16_t value) { return add<uint8_t>(static_cast<uint8_t>(value >> 8)).add(static_cast<uint8_t>(value)); }

  EtwBytes& v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) { return add(a).add(b).add(c).add(d); }

  /** 2001:db8::LAST. */
  EtwBytes& v6(uint8_t last) {
    add<uint32_t>(0xb80d0120);
    for (int i = 0; i < 11; i++) add<uint8_t>(0);
    return add(last);
  }

  EtwBytes& text(const std::u16string& value) {
    for (const char16_t unit : value) add(static_cast<uint16_t>(unit));
    return add<uint16_t>(0);
  }

  /** S-1-16-LEVEL, as mandatory labels are. */
  EtwBytes& sid(uint32_t level) {
    add<uint8_t>(1).add<uint8_t>(1);
    for (const uint8_t byte : {0, 0, 0, 0, 0, 16}) add(byte);
    return add(level);
  }

  std::vector<uint8_t> bytes;
};
