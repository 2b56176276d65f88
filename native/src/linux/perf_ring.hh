#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "slice.hh"

namespace proclabel {

/** A record that the kernel wrote for PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_RAW. */
struct PerfSample {
  uint32_t pid = 0;
  uint32_t thread = 0;
  int64_t time_ns = 0;
  /** The tracepoint's own record. */
  Slice raw{nullptr, 0};
};

/**
 * Calls `take` for every sample in these bytes of a ring, which are whole records; returns how many events the kernel says
 * it lost among them. It ends at a record that cannot be one.
 */
template <typename Take>
uint64_t read_perf_records(const Slice& bytes, Take take) {
  // include/uapi/linux/perf_event.h: u32 type, u16 misc, u16 size.
  constexpr uint32_t type_lost = 2, type_sample = 9;
  constexpr size_t header = 8;
  uint64_t lost = 0;
  for (size_t at = 0; at < bytes.size();) {
    const auto type = bytes.read<uint32_t>(at);
    const auto size = bytes.read<uint16_t>(at + 6);
    if (!type || !size || *size < header || bytes.size() - at < *size) break;
    const Slice body = bytes.part(at + header, *size - header);
    at += *size;
    if (*type == type_lost) lost += body.read<uint64_t>(8).value_or(0);
    if (*type != type_sample) continue;
    const auto pid = body.read<uint32_t>(0), thread = body.read<uint32_t>(4), raw_size = body.read<uint32_t>(16);
    const auto time_ns = body.read<int64_t>(8);
    if (!pid || !thread || !time_ns || !raw_size) continue;
    take(PerfSample{*pid, *thread, *time_ns, body.part(20, *raw_size)});
  }
  return lost;
}

/** The ring of one CPU's events, shared with the kernel. It unmaps itself. */
class PerfRing {
 public:
  /** Throws SourceError. `pages` is a power of two. */
  PerfRing(int fd, size_t pages);
  ~PerfRing();
  PerfRing(PerfRing&& other) noexcept;
  PerfRing(const PerfRing&) = delete;
  PerfRing& operator=(const PerfRing&) = delete;

  /** Moves what is in it to `bytes`; true where there was so little room left that events may have been lost. */
  bool take(std::vector<uint8_t>& bytes);

 private:
  void* memory_;
  size_t page_;
  size_t size_;
};

}  // namespace proclabel
