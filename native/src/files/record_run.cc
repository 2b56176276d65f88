#include "files/record_run.hh"

#include <algorithm>
#include <cstring>

namespace proclabel::files {

namespace {

// As in services/capture/files/.
constexpr uint32_t max_frame_bytes = 262'144;
constexpr double max_time_us = 4'503'599'627'370'495;
constexpr uint32_t enhanced_packet = 6;
constexpr uint32_t max_block_bytes = max_frame_bytes + 65'536;
/** Of an enhanced packet block before its frame, and behind its options. */
constexpr uint32_t block_head_bytes = 28;
constexpr uint32_t block_tail_bytes = 4;
constexpr uint16_t option_drop_count = 4;

/** Numbers of a file in its byte order; the caller has made sure that they are there. */
class Numbers {
 public:
  Numbers(const uint8_t* begin, bool little_endian) : begin_(begin), little_endian_(little_endian) {}

  uint32_t u32(size_t at) const {
    uint32_t value;
    std::memcpy(&value, begin_ + at, sizeof value);
    return little_endian_ ? value : __builtin_bswap32(value);
  }

  uint16_t u16(size_t at) const {
    uint16_t value;
    std::memcpy(&value, begin_ + at, sizeof value);
    return little_endian_ ? value : __builtin_bswap16(value);
  }

 private:
  const uint8_t* begin_;
  bool little_endian_;
};

void put(const FrameColumns& rows, size_t row, double time_us, size_t offset, uint32_t captured, uint32_t wire_length,
         uint16_t link_type) {
  constexpr uint32_t most = INT32_MAX;
  rows.time_us[row] = std::min(time_us, max_time_us);
  rows.offset[row] = static_cast<int32_t>(offset);
  rows.captured[row] = static_cast<int32_t>(captured);
  rows.wire_length[row] = static_cast<int32_t>(std::max(captured, std::min(wire_length, most)));
  rows.link_type[row] = link_type;
}

/** Whether one of a block's options from `at` to `end` tells how many frames were lost. */
bool has_drop_count(const Numbers& numbers, size_t at, size_t end) {
  while (at + 4 <= end) {
    const uint16_t code = numbers.u16(at);
    if (code == option_drop_count) return true;
    if (code == 0) return false;
    at += 4 + ((numbers.u16(at + 2) + 3u) & ~3u);
  }
  return false;
}

double time_of(uint32_t high, uint32_t low, uint8_t resolution) {
  const uint64_t ticks = uint64_t{high} << 32 | low;
  return static_cast<double>(resolution == 9 ? ticks / 1000 : ticks);
}

}  // namespace

size_t read_pcap_run(std::span<const uint8_t> window, size_t begin, const RecordLayout& layout, const FrameColumns& rows) {
  size_t row = 0;
  for (size_t at = begin; row < rows.offset.size() && at + layout.header_bytes <= window.size(); row++) {
    const Numbers record(window.data() + at, layout.little_endian);
    const uint32_t captured = record.u32(8);
    const size_t frame = at + layout.header_bytes;
    if (captured > max_frame_bytes || captured > window.size() - frame) break;
    const uint32_t fraction = record.u32(4);
    const double time_us = record.u32(0) * 1e6 + (layout.nanoseconds ? fraction / 1000 : fraction);
    put(rows, row, time_us, frame, captured, record.u32(12), layout.link_type);
    at = frame + captured;
  }
  return row;
}

size_t read_pcapng_run(std::span<const uint8_t> window, size_t begin, bool little_endian,
                       std::span<const Interface> interfaces, const FrameColumns& rows) {
  size_t row = 0;
  for (size_t at = begin; row < rows.offset.size() && at + block_head_bytes + block_tail_bytes <= window.size(); row++) {
    const Numbers block(window.data() + at, little_endian);
    const uint32_t length = block.u32(4);
    if (block.u32(0) != enhanced_packet || length < block_head_bytes + block_tail_bytes || length % 4 != 0) break;
    if (length > max_block_bytes || length > window.size() - at) break;
    const size_t body_end = length - block_tail_bytes;
    const uint32_t number = block.u32(8), captured = block.u32(20);
    if (block.u32(body_end) != length || number >= interfaces.size() || captured > body_end - block_head_bytes) break;
    const auto [link_type, resolution] = interfaces[number];
    if (resolution != 6 && resolution != 9) break;
    if (captured > max_frame_bytes || has_drop_count(block, block_head_bytes + ((captured + 3) & ~3u), body_end)) break;
    put(rows, row, time_of(block.u32(12), block.u32(16), resolution), at + block_head_bytes, captured, block.u32(24),
        link_type);
    at += length;
  }
  return row;
}

}  // namespace proclabel::files
