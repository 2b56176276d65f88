#include "files/record_run.hh"

#include <random>
#include <vector>

#include "test.hh"

using namespace proclabel::files;

namespace {

struct Rows {
  std::vector<int32_t> offset, captured, wire_length;
  std::vector<double> time_us;
  std::vector<uint16_t> link_type;
  explicit Rows(size_t count)
      : offset(count), captured(count), wire_length(count), time_us(count), link_type(count) {}
  proclabel::FrameColumns spans() { return {offset, captured, wire_length, time_us, link_type}; }
};

void put(std::vector<uint8_t>& bytes, std::initializer_list<uint32_t> words) {
  for (const uint32_t word : words)
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(word >> shift));
}

constexpr RecordLayout micros = {true, false, 16, 1};

}  // namespace

TEST("a run of pcap records ends at the window, at the last row, and before a length that cannot be") {
  std::vector<uint8_t> file;
  for (uint32_t i = 0; i < 3; i++) put(file, {i, 5, 8, 4, 0, 0});
  Rows rows(8);
  CHECK_EQUAL(read_pcap_run(file, 0, micros, rows.spans()), 3u);
  CHECK_EQUAL(rows.offset[2], 64);
  CHECK_EQUAL(rows.time_us[2], 2'000'005.0);
  CHECK_EQUAL(rows.wire_length[2], 8);
  CHECK_EQUAL(read_pcap_run(std::span(file).first(71), 24, micros, rows.spans()), 1u);
  Rows two(2);
  CHECK_EQUAL(read_pcap_run(file, 0, micros, two.spans()), 2u);
  put(file, {0, 0, 262'145, 0});
  CHECK_EQUAL(read_pcap_run(file, 0, micros, rows.spans()), 3u);
}

TEST("a run of pcapng blocks ends before one that tells of a loss, of an interface that is not there, or is none") {
  std::vector<uint8_t> file;
  put(file, {6, 36, 0, 1, 0, 2, 9, 0, 36});
  put(file, {6, 36, 0, 0, 3000, 0, 0, 0, 36});
  Rows rows(8);
  const Interface ethernet = {1, 6}, nanos = {113, 9}, other = {1, 3};
  CHECK_EQUAL(read_pcapng_run(file, 0, true, {&ethernet, 1}, rows.spans()), 2u);
  CHECK_EQUAL(rows.time_us[0], 4'294'967'296.0);
  CHECK_EQUAL(rows.captured[0], 2);
  CHECK_EQUAL(read_pcapng_run(file, 36, true, {&nanos, 1}, rows.spans()), 1u);
  CHECK_EQUAL(rows.time_us[0], 3.0);
  CHECK_EQUAL(read_pcapng_run(file, 0, true, {&other, 1}, rows.spans()), 0u);
  CHECK_EQUAL(read_pcapng_run(file, 0, true, {}, rows.spans()), 0u);
  put(file, {6, 44, 0, 0, 0, 0, 0, 0x0008'0004, 1, 0, 44});
  CHECK_EQUAL(read_pcapng_run(file, 0, true, {&ethernet, 1}, rows.spans()), 2u);
}

TEST("no bytes make a run leave its window") {
  std::mt19937 random(1);
  const auto below = [&random](uint32_t end) { return static_cast<uint32_t>(random() % end); };
  const Interface interfaces[] = {{1, 6}, {1, 9}};
  for (int round = 0; round < 20'000; round++) {
    std::vector<uint8_t> file;
    while (file.size() < below(300)) put(file, {below(8), below(80), below(3), 0, 0, below(40)});
    file.resize(below(static_cast<uint32_t>(file.size()) + 1));
    Rows rows(5);
    for (const bool is_little : {true, false}) {
      for (const size_t count : {read_pcap_run(file, 0, {is_little, true, 24, 1}, rows.spans()),
                                 read_pcapng_run(file, 0, is_little, interfaces, rows.spans())})
        for (size_t row = 0; row < count; row++)
          CHECK(static_cast<size_t>(rows.offset[row]) + static_cast<size_t>(rows.captured[row]) <= file.size());
    }
  }
}
