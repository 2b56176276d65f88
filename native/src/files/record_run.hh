#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "frame_columns.hh"

namespace proclabel::files {

/** How a pcap file's records are written. */
struct RecordLayout {
  bool little_endian;
  bool nanoseconds;
  /** Of the header of a record. */
  uint32_t header_bytes;
  uint16_t link_type;
};

/** An interface of a pcapng section whose times are whole micro- or nanoseconds since the epoch. */
struct Interface {
  uint16_t link_type;
  /** Digits behind the second: 6 or 9; others are not read here. */
  uint8_t resolution;
};

/**
 * Whole records from `begin` on in `window`, as many as there are in a run and as rows are left; answers with how many. The run
 * ends before whatever is not an ordinary record: services/capture/files/ reads that, and reads these the same way.
 */
size_t read_pcap_run(std::span<const uint8_t> window, size_t begin, const RecordLayout& layout, const FrameColumns& rows);

/** The same for enhanced packet blocks that tell of no loss. */
size_t read_pcapng_run(std::span<const uint8_t> window, size_t begin, bool little_endian,
                       std::span<const Interface> interfaces, const FrameColumns& rows);

}  // namespace proclabel::files
