#include <cstddef>
#include <cstdlib>

#include "packet/frame_decoder.hh"

using namespace proclabel::packet;

/** One frame: two bytes of link type, then the frame and every piece of it that a snap length may leave. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const proclabel::Slice input(data, size);
  const uint16_t link_type = input.read<uint16_t>(0).value_or(1);
  const proclabel::Slice frame = input.part(2);
  FrameDecoder decoder;
  std::vector<Packet> released;
  const size_t shortest = frame.size() > 64 ? frame.size() - 64 : 0;
  for (size_t captured = frame.size() + 1; captured-- > shortest;) {
    Packet packet;
    packet.time_us = static_cast<double>(captured);
    packet.wire_length = static_cast<uint32_t>(frame.size());
    const Reason reason = decoder.decode(frame.part(0, captured), link_type, packet, released);
    if (reason == Reason::ok && size_t{packet.payload_offset} + packet.payload_captured > captured) std::abort();
  }
  return 0;
}
