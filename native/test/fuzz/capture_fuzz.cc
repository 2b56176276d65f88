#include <array>
#include <cstddef>
#include <cstdlib>

#include "packet/capture.hh"
#include "session/batch_columns.hh"
#include "session/session_text.hh"

using namespace proclabel::packet;
using proclabel::session::SessionTable;

namespace {

/** Whole batches whose indices fit, and candidates that name bytes of the block. */
void check(const Captured& answer, size_t data_size) {
  for (const ClosedBatch& batch : answer.batches) {
    const Batch& content = batch.content;
    if (content.size != content.flows * 41 + content.packets * 20 + content.syns * 4) std::abort();
    const proclabel::Slice columns(content.memory.get(), content.size);
    for (size_t row = 0; row < content.packets; row++)
      if (columns.read<uint16_t>(content.flows * 41 + row * 2).value() >= content.flows) std::abort();
  }
  for (const Candidate& candidate : answer.candidates)
    if (size_t{candidate.payload_offset} + candidate.payload_captured > data_size) std::abort();
}

/** All packets of all batches in sessions of one host, each written as a line. */
class Sessions {
 public:
  void add(const std::vector<ClosedBatch>& batches) {
    for (const ClosedBatch& batch : batches) {
      const auto columns = columns_of(batch.content);
      if (!columns.fit()) std::abort();
      const std::vector<proclabel::session::Text> tunnels(batch.content.tunnels.size(), text_);
      const proclabel::session::NamedPacket named{0, sent_ % 2 == 0, text_};
      table_.apply(columns, batch.content.base_us, sent_ % 3 == 0, tunnels, {&named, 1});
      table_.advance(batch.until_us);
      sent_ += batch.content.packets;
      take();
    }
  }

  void end() {
    table_.finish();
    take();
    if (counted_ != sent_) std::abort();
  }

 private:
  void take() {
    for (const uint32_t entry : table_.ended()) {
      counted_ += table_[entry].packets[0] + table_[entry].packets[1];
      if (!write_line(line_, table_[entry], {"\"label\":null", "\"label\":1"}, "null")) std::abort();
    }
    table_.forget_ended();
  }

  const proclabel::session::Text text_ = std::make_shared<const std::string>("{}");
  SessionTable table_;
  uint64_t sent_ = 0;
  uint64_t counted_ = 0;
  std::array<char, 8192> line_;
};

HostTable some_hosts(uint8_t last) {
  HostTable hosts;
  hosts.add({0, 0x0000'000a'ffff'0000 | static_cast<uint64_t>(last) << 56}, 0, 1e18, 1);
  return hosts;
}

}  // namespace

/**
 * A capture: records of link type (two bytes), time since the one before in 2^16 microseconds, what is done before it, and
 * length (two bytes), then the frame. Frames go in in blocks of up to 8.
 */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t header = 6, block_frames = 8;
  const proclabel::Slice input(data, size);
  Capture capture({size % 2 == 0, 64, static_cast<double>(size % 3) - 1});
  Sessions sessions;
  std::vector<int32_t> offset, captured;
  std::vector<double> time_us;
  std::vector<uint16_t> link_type;
  const auto give = [&] {
    const Captured& answer = capture.add({input, offset, captured, captured, time_us, link_type});
    check(answer, size);
    sessions.add(answer.batches);
    std::vector<SettledFlow> settled;
    for (const Candidate& candidate : answer.candidates) settled.push_back({candidate.flow, candidate.frame & 15, 0, 0, 0});
    capture.settle(settled);
    offset.clear();
    captured.clear();
    time_us.clear();
    link_type.clear();
  };
  double now_us = 0;
  for (size_t at = 0; at + header <= size;) {
    const auto action = input.read<uint8_t>(at + 3).value();
    const auto length = input.read<uint16_t>(at + 4).value();
    now_us += static_cast<double>(static_cast<int8_t>(input.read<uint8_t>(at + 2).value())) * 65536;
    link_type.push_back(input.read<uint16_t>(at).value());
    time_us.push_back(now_us);
    offset.push_back(static_cast<int32_t>(at + header));
    captured.push_back(static_cast<int32_t>(input.part(at + header, length).size()));
    at += header + length;
    if (offset.size() == block_frames || at + header > size) give();
    if (action == 1) capture.set_hosts(some_hosts(static_cast<uint8_t>(length)));
    if (action == 2) {
      const Captured& answer = capture.tick(now_us + 1e9);
      check(answer, size);
      sessions.add(answer.batches);
    }
  }
  const Captured& answer = capture.flush();
  check(answer, size);
  sessions.add(answer.batches);
  sessions.end();
  return 0;
}
