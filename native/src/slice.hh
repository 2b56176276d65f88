#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace proclabel {

/** Bytes with their end: every read is checked, a read beyond the end says no. It owns nothing. */
class Slice {
 public:
  Slice(const void* begin, size_t size) : begin_(static_cast<const uint8_t*>(begin)), size_(size) {}

  size_t size() const { return size_; }
  std::span<const uint8_t> bytes() const { return {begin_, size_}; }

  /** A copy of the T at `offset`, in the bytes' own order; works for any alignment. */
  template <typename T>
  std::optional<T> read(size_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (offset > size_ || size_ - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, begin_ + offset, sizeof(T));
    return value;
  }

  /** The part from `offset` on, at most `length` bytes; empty beyond the end. */
  Slice part(size_t offset, size_t length = SIZE_MAX) const {
    if (offset >= size_) return Slice(begin_, 0);
    const size_t left = size_ - offset;
    return Slice(begin_ + offset, length < left ? length : left);
  }

  void append_to(std::vector<uint8_t>& bytes) const { bytes.insert(bytes.end(), begin_, begin_ + size_); }

 private:
  const uint8_t* begin_;
  size_t size_;
};

}  // namespace proclabel
