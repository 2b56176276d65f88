#include "packet/host_frames.hh"

#include <cmath>
#include <utility>

namespace proclabel::packet {

namespace {

// As in services/capture/host-frames.ts.
constexpr size_t full_chunk_bytes = 256 * 1024;
constexpr double minute_us = 60'000'000;

struct RecordHeader {
  uint32_t seconds;
  uint32_t micros;
  uint32_t captured;
  uint32_t wire_length;
};

void hand_out(FrameChunk& chunk, std::vector<FrameChunk>& complete) {
  if (chunk.packets > 0) complete.push_back(std::exchange(chunk, {}));
}

}  // namespace

void HostFrames::add(int32_t host, uint16_t link_type, double time_us, Slice frame, uint32_t wire_length,
                     std::vector<FrameChunk>& complete) {
  const auto number = static_cast<size_t>(host);
  if (number >= open_.size()) open_.resize(number + 1);
  FrameChunk& chunk = open_[number];
  const double minute = std::floor(time_us / minute_us) * minute_us;
  if (chunk.minute_us != minute || chunk.link_type != link_type) hand_out(chunk, complete);
  chunk.host = host;
  chunk.link_type = link_type;
  chunk.minute_us = minute;
  const double seconds = std::floor(time_us / 1e6);
  const Slice kept = frame.part(0, snap_length_);
  const RecordHeader header{static_cast<uint32_t>(static_cast<int64_t>(seconds)),
                            static_cast<uint32_t>(time_us - seconds * 1e6), static_cast<uint32_t>(kept.size()),
                            wire_length};
  Slice(&header, sizeof header).append_to(chunk.records);
  kept.append_to(chunk.records);
  chunk.packets++;
  if (chunk.records.size() >= full_chunk_bytes) hand_out(chunk, complete);
}

void HostFrames::flush(std::vector<FrameChunk>& complete) {
  for (FrameChunk& chunk : open_) hand_out(chunk, complete);
}

}  // namespace proclabel::packet
