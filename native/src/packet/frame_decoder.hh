#pragma once

#include <cstdint>
#include <vector>

#include "packet/cursor.hh"
#include "packet/fragments.hh"

namespace proclabel::packet {

/**
 * Turns frames into packets. It remembers fragments between frames, so one decoder serves one input. Any bytes are
 * acceptable; the same frames give the same packets and reasons as services/core/decode/frame.ts.
 */
class FrameDecoder {
 public:
  /**
   * The caller has set the packet's time_us and wire_length; all else is filled in if the answer is `ok`, and without
   * meaning if not. Later fragments that had waited for this frame are appended to `released`: they come before it.
   */
  Reason decode(Slice frame, uint16_t link_type, Packet& packet, std::vector<Packet>& released);

  /** The frame decoded last was `fragment_held`, and is a copy of one before: it is not to be counted. */
  void forget_held() { fragments_.forget_last_held(); }

 private:
  Layer join_fragment(Cursor& c, Packet& packet);
  void learn_fragments(const Cursor& c, const Packet& packet, std::vector<Packet>& released);

  Fragments fragments_;
};

}  // namespace proclabel::packet
