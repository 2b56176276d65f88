#include <array>
#include <cstddef>
#include <cstdlib>

#include "files/record_run.hh"

using namespace proclabel::files;

/** A file, read from wherever a record or block may begin, in both byte orders: every frame is within it. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t most = 16;
  constexpr Interface interfaces[] = {{1, 6}, {101, 9}, {113, 0}};
  std::array<int32_t, most> offset, captured, wire_length;
  std::array<double, most> time_us;
  std::array<uint16_t, most> link_type;
  const proclabel::FrameColumns rows = {offset, captured, wire_length, time_us, link_type};
  const auto check = [&](size_t count) {
    for (size_t row = 0; row < count; row++) {
      const auto begin = static_cast<size_t>(offset[row]), bytes = static_cast<size_t>(captured[row]);
      if (begin + bytes > size || wire_length[row] < captured[row]) std::abort();
    }
  };
  for (size_t begin = 0; begin <= size && begin <= 64; begin += 4) {
    for (const bool is_little : {true, false}) {
      check(read_pcap_run({data, size}, begin, {is_little, begin % 8 == 0, begin % 3 == 0 ? 16u : 24u, 1}, rows));
      check(read_pcapng_run({data, size}, begin, is_little, interfaces, rows));
    }
  }
  return 0;
}
