#include "packet/frames.hh"

using namespace frames;
using packet::FrameDecoder;
using packet::Reason;

namespace {

constexpr uint16_t raw_link = 101;
constexpr unsigned more = 0x2000;
const Bytes first = ipv4(17, udp(1000, 2000, Bytes(16)), more);
const Bytes later = ipv4(17, Bytes(24), 3);

}  // namespace

TEST("a later fragment takes the ports of its first") {
  FrameDecoder decoder;
  decode(decoder, first, raw_link);
  const Decoded decoded = decode(decoder, later, raw_link);
  CHECK_EQUAL(decoded.reason, Reason::ok);
  CHECK_EQUAL(decoded.packet.destination_port, 2000);
  CHECK(decoded.packet.later_fragment);
}

TEST("a later fragment that comes first is held and released before its first") {
  FrameDecoder decoder;
  CHECK_EQUAL(decode(decoder, later, raw_link).reason, Reason::fragment_held);
  const Decoded decoded = decode(decoder, first, raw_link);
  CHECK_EQUAL(decoded.released.size(), 1u);
  CHECK_EQUAL(decoded.released[0].source_port, 1000);
  CHECK_EQUAL(decoded.released[0].payload_captured, 0u);
}

TEST("fragments of another protocol, or a minute later, do not join") {
  FrameDecoder decoder;
  decode(decoder, first, raw_link);
  CHECK_EQUAL(decode(decoder, ipv4(6, Bytes(24), 3), raw_link).reason, Reason::fragment_held);
  CHECK_EQUAL(decode(decoder, later, raw_link, 61e6).reason, Reason::fragment_held);
}

TEST("the later fragments of a tunnelled packet are counted with its first") {
  FrameDecoder decoder;
  decode(decoder, ipv4(4, ipv4(6, tcp(1, 2), 0, 3, 4), more), raw_link);
  CHECK_EQUAL(decode(decoder, ipv4(4, Bytes(24), 3), raw_link).reason, Reason::tunnel_fragment);
}

TEST("fragments that never find their first stay within bounds, the oldest leaving first") {
  FrameDecoder decoder;
  const auto with_id = [](Bytes fragment, unsigned id) {
    fragment[4] = static_cast<uint8_t>(id >> 8);
    fragment[5] = static_cast<uint8_t>(id);
    return fragment;
  };
  for (unsigned id = 0; id < 5000; id++) decode(decoder, with_id(later, id), raw_link);
  CHECK_EQUAL(decode(decoder, with_id(first, 4999), raw_link).released.size(), 1u);
  CHECK_EQUAL(decode(decoder, with_id(first, 5), raw_link).released.size(), 0u);
}
