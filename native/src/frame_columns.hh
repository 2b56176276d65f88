#pragma once

#include <cstdint>
#include <span>

namespace proclabel {

/** Where a reader of frames writes what it knows of each: FrameColumns of services/capture/files/frame-columns.ts. All of one length. */
struct FrameColumns {
  std::span<int32_t> offset;
  std::span<int32_t> captured;
  std::span<int32_t> wire_length;
  std::span<double> time_us;
  std::span<uint16_t> link_type;
};

}  // namespace proclabel
