#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "packet/packet.hh"

namespace proclabel::session {

using packet::Address;

/** In the order of `endReasons` in services/core/session-rows.ts; none is a session that goes on. */
enum class EndReason : uint8_t { none, fin, rst, idle, reuse, shutdown };

/** As DirectionEvidence of labeled-session.avsc, as far as packets tell. */
enum class DirectionBy : uint8_t { syn, port, first_packet };

/** A packet's IP length, negative from the remote end, and the time since the packet before it, microseconds. */
struct FirstPacket {
  int32_t length;
  int32_t gap_us;
};

/** Text that stands in the session's record as it is; absent for `null`. */
using Text = std::shared_ptr<const std::string>;

/**
 * A session of one host: what services/core/session.ts and session-rows.ts keep, under their names. Times: microseconds since
 * the epoch.
 */
struct Session {
  static constexpr uint32_t first_packets = 32;
  static constexpr int64_t no_syn = -1;

  Address local;
  Address remote;
  uint32_t hash = 0;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  uint8_t protocol = 0;
  uint8_t tcp_flags = 0;
  EndReason end_reason = EndReason::none;
  /** Bits: the local end, the remote end has sent a FIN. */
  uint8_t finished = 0;
  double last_us = 0;
  double splt_us = 0;
  double first_us = 0;
  double first_seen_us = 0;
  double published_us = 0;
  /** Out, then in. */
  std::array<uint64_t, 2> packets{};
  std::array<uint64_t, 2> bytes{};
  /** Sequence number of the last SYN out, then in. */
  std::array<int64_t, 2> syn{no_syn, no_syn};
  /** The step in which it is looked at again, and its neighbours there. */
  int64_t due_step = INT64_MIN;
  uint32_t due_before = 0;
  uint32_t due_after = 0;
  /** Its neighbours in the order of start. */
  uint32_t open_before = 0;
  uint32_t open_after = 0;
  uint32_t splt_count = 0;
  uint16_t vlan = packet::no_vlan;
  bool first_from_remote = false;
  bool is_in = false;
  DirectionBy direction_by = DirectionBy::first_packet;
  bool capture_gap = false;
  /** A name with an SNI was seen, and no other counts. */
  bool is_named = false;
  Text tunnel;
  Text names;
  std::array<FirstPacket, first_packets> splt;
};

}  // namespace proclabel::session
