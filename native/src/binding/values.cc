#include "binding/values.hh"

#include <algorithm>

namespace proclabel::binding {

packet::FrameBlock frame_block(const Napi::CallbackInfo& info, size_t first) {
  const auto data = elements<uint8_t>(info[first]);
  const auto offset = elements<int32_t>(info[first + 1]), captured = elements<int32_t>(info[first + 2]);
  const auto wire_length = elements<int32_t>(info[first + 3]);
  const auto time_us = elements<double>(info[first + 4]);
  const auto link_type = elements<uint16_t>(info[first + 5]);
  const size_t count = std::min({static_cast<size_t>(info[first + 6].As<Napi::Number>().Uint32Value()), offset.size(),
                                 captured.size(), wire_length.size(), time_us.size(), link_type.size()});
  return {Slice(data.data(), data.size()), offset.first(count), captured.first(count),
          wire_length.first(count), time_us.first(count), link_type.first(count)};
}

}  // namespace proclabel::binding
