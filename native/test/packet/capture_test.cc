#include "packet/capture.hh"

#include "packet/frames.hh"

using namespace proclabel::packet;
using frames::Bytes;

namespace {

struct Frame {
  double time_us;
  Bytes bytes;
};

/** The columns of a block, for as long as the call takes. */
Captured& add(Capture& capture, const std::vector<Frame>& frames) {
  Bytes data;
  std::vector<int32_t> offset, captured;
  std::vector<double> time_us;
  for (const Frame& frame : frames) {
    offset.push_back(static_cast<int32_t>(data.size()));
    captured.push_back(static_cast<int32_t>(frame.bytes.size()));
    time_us.push_back(frame.time_us);
    data.insert(data.end(), frame.bytes.begin(), frame.bytes.end());
  }
  const std::vector<uint16_t> link_type(frames.size(), frames::ethernet_link);
  return capture.add({frames::slice_of(data), offset, captured, captured, time_us, link_type});
}

Frame tcp_frame(double time_us, uint8_t from, uint8_t to, const Bytes& payload = {}, uint8_t flags = 0x10) {
  const unsigned port = from < to ? 5000 : 80;
  return {time_us, frames::ethernet(0x0800, frames::ipv4(6, frames::tcp(port, port == 80 ? 5000 : 80, flags, payload), 0, from, to))};
}

const Bytes hello = {0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};

HostTable hosts(std::initializer_list<uint8_t> addresses) {
  HostTable table;
  for (const uint8_t address : addresses) table.add(frames::address(address), 0, 1e18, address);
  return table;
}

}  // namespace

TEST("traffic between two monitored hosts is in the batch of each, from its own point of view") {
  Capture capture({});
  capture.set_hosts(hosts({1, 2}));
  const Captured& answer = add(capture, {tcp_frame(0, 1, 2), tcp_frame(1, 2, 1), tcp_frame(2, 3, 4)});
  CHECK_EQUAL(answer.batches.size(), 2u);
  for (const ClosedBatch& batch : answer.batches) {
    CHECK_EQUAL(batch.content.packets, 2u);
    const Address local = *reinterpret_cast<const Address*>(batch.content.memory.get());
    CHECK_EQUAL(local, frames::address(static_cast<uint8_t>(batch.host)));
  }
  CHECK_EQUAL(capture.frames()[Capture::not_monitored], 1u);
}

TEST("batches are closed once a second of capture time, empty ones too") {
  Capture capture({.keep_unmonitored = true});
  CHECK(add(capture, {tcp_frame(0, 1, 2)}).ticked);
  CHECK(!add(capture, {tcp_frame(999'999, 1, 2)}).ticked);
  const Captured& answer = add(capture, {tcp_frame(1'000'000, 1, 2)});
  CHECK(answer.ticked);
  CHECK_EQUAL(answer.batches[0].seq, 1);
  CHECK_EQUAL(answer.batches[0].content.packets, 2u);
  CHECK_EQUAL(capture.tick(5e6).batches[0].until_us, 5e6);
}

TEST("a flow that becomes a host's moves to that host's batch") {
  Capture capture({.keep_unmonitored = true});
  add(capture, {tcp_frame(0, 1, 2)});
  capture.set_hosts(hosts({2}));
  add(capture, {tcp_frame(1, 1, 2)});
  const Captured& answer = capture.flush();
  CHECK_EQUAL(answer.batches[1].host, 2);
  CHECK_EQUAL(answer.batches[1].content.packets, 1u);
}

TEST("a candidate says where its packet is, and the flow is the caller's until it is settled") {
  Capture capture({.keep_unmonitored = true});
  const Captured& answer = add(capture, {tcp_frame(0, 1, 2, {}, flag_syn), {}, tcp_frame(1, 1, 2, hello), tcp_frame(2, 1, 2, {1})});
  CHECK_EQUAL(answer.candidates.size(), 2u);
  const Candidate& candidate = answer.candidates[0];
  CHECK_EQUAL(candidate.frame, 2u);
  CHECK_EQUAL(candidate.flags, 1u | 2u | 4u);
  CHECK_EQUAL(candidate.next_low, 2u);
  CHECK_EQUAL(candidate.low.row, 1u);
  CHECK_EQUAL(candidate.high.host, Route::with_low);
  const uint32_t flow = candidate.flow;
  CHECK_EQUAL(add(capture, {tcp_frame(3, 1, 2, {1})}).candidates.size(), 1u);
  capture.settle(std::vector<SettledFlow>{{flow, 1, 0, 0, 0}, {flow + 1, 1, 0, 0, 0}});
  CHECK_EQUAL(add(capture, {tcp_frame(4, 1, 2, hello)}).candidates.size(), 0u);
}

TEST("a place outside of the data is an empty frame") {
  Capture capture({.keep_unmonitored = true});
  const Bytes data(10);
  const std::vector<int32_t> offset = {-1, 11, 5}, length = {5, 5, -1};
  const std::vector<double> time_us = {0, 0, 0};
  const std::vector<uint16_t> link_type = {1, 1, 1};
  capture.add({frames::slice_of(data), offset, length, length, time_us, link_type});
  CHECK_EQUAL(capture.frames()[static_cast<size_t>(Reason::truncated_header)], 3u);
}

TEST("idle flows are forgotten once there are many, and the caller is told of those it looked at") {
  Capture capture({.keep_unmonitored = true});
  add(capture, {tcp_frame(0, 1, 2, hello)});
  std::vector<Frame> many;
  for (unsigned port = 1; port < 65'536; port++)
    many.push_back({61e6, frames::ethernet(0x0800, frames::ipv4(17, frames::udp(port, 9), 0, 5, 6))});
  CHECK_EQUAL(add(capture, many).forgotten.size(), 0u);
  many.resize(1);
  many[0].bytes = frames::ethernet(0x0800, frames::ipv4(17, frames::udp(1, 10), 0, 5, 6));
  CHECK_EQUAL(add(capture, many).forgotten.size(), 1u);
}

TEST("a copy of a packet is one within the window only, whatever hop limit, tag and addresses of the link it has") {
  Capture capture({.keep_unmonitored = true, .duplicate_window_us = 1000});
  const auto frame = [](double time_us, uint8_t ttl, const Bytes& payload) {
    Bytes packet = frames::ipv4(17, frames::udp(1, 2, payload));
    packet[8] = ttl;
    return Frame{time_us, frames::ethernet(0x0800, packet)};
  };
  Frame tagged = frame(10, 63, {1});
  const Bytes tag = {0x81, 0, 0, 5};
  tagged.bytes.insert(tagged.bytes.begin() + 12, tag.begin(), tag.end());
  tagged.bytes[0] = 9;
  const Captured& answer = add(capture, {frame(0, 64, {1}), tagged, frame(1000, 64, {1}), frame(1001, 64, {1}), frame(1002, 64, {2})});
  CHECK_EQUAL(capture.frames()[Capture::duplicate], 2u);
  CHECK_EQUAL(answer.batches[0].content.packets, 3u);
  CHECK_EQUAL(capture.frames()[0], 3u);
}
