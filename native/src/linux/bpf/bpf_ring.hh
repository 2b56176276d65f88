#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "slice.hh"

namespace proclabel {

/** Where programs in the kernel write, of all CPUs: a map of type BPF_MAP_TYPE_RINGBUF. It unmaps itself. https://docs.kernel.org/bpf/ringbuf.html */
class BpfRing {
 public:
  /** `size` is a power of two, and of pages. Throws SourceError. */
  BpfRing(int map, size_t size);
  ~BpfRing();
  BpfRing(const BpfRing&) = delete;
  BpfRing& operator=(const BpfRing&) = delete;

  /** Calls `take` with every record that is whole; its bytes are valid during the call. */
  template <typename Take>
  void read(Take take) {
    for (Slice record = next(); record.size() > 0; record = next()) {
      take(record);
      release(record.size());
    }
  }

 private:
  /** The oldest record; empty when there is none. */
  Slice next();
  void release(size_t record_size);

  const size_t page_, size_;
  /** A page with our position, which we write. */
  void* consumer_;
  /** A page with the kernel's, then the records. */
  void* producer_;
  /** A record that begins at the end of the ring and goes on at its beginning. */
  std::vector<uint8_t> wrapped_;
};

}  // namespace proclabel
