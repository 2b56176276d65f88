#pragma once

#include <cstdint>
#include <vector>

#include "slice.hh"

namespace proclabel::packet {

/** pcap records (draft-ietf-opsawg-pcap, little-endian, microseconds) of a host's frames in one minute, all of one link type. */
struct FrameChunk {
  int32_t host = 0;
  uint16_t link_type = 0;
  /** Microseconds since the epoch, where the minute begins. */
  double minute_us = 0;
  uint32_t packets = 0;
  std::vector<uint8_t> records;
};

/** Gathers each host's frames for its capture files; services/capture/host-frames.ts does the same in TypeScript. */
class HostFrames {
 public:
  /** `snap_length`: bytes that are kept of a frame at most. */
  explicit HostFrames(uint32_t snap_length) : snap_length_(snap_length) {}

  /** Adds a frame; a chunk that is complete goes to `complete`. Hosts are small numbers. */
  void add(int32_t host, uint16_t link_type, double time_us, Slice frame, uint32_t wire_length,
           std::vector<FrameChunk>& complete);

  /** Every chunk, as it is so far. */
  void flush(std::vector<FrameChunk>& complete);

 private:
  const uint32_t snap_length_;
  /** By host number; without packets where nothing was added. */
  std::vector<FrameChunk> open_;
};

}  // namespace proclabel::packet
