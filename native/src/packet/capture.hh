#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "packet/batch_builder.hh"
#include "packet/duplicates.hh"
#include "packet/event_clock.hh"
#include "packet/flow_table.hh"
#include "packet/frame_decoder.hh"
#include "packet/host_frames.hh"
#include "packet/host_table.hh"
#include "slice.hh"

namespace proclabel::packet {

/** Frames as they were captured, in columns: FrameBlock of services/capture/packet-source.ts. All of one length. */
struct FrameBlock {
  Slice data;
  std::span<const int32_t> offset;
  std::span<const int32_t> captured;
  std::span<const int32_t> wire_length;
  std::span<const double> time_us;
  std::span<const uint16_t> link_type;
};

struct CaptureOptions {
  /** Packets that concern no monitored host are reported too, under `unmonitored_host`. */
  bool keep_unmonitored = false;
  /** The monitored hosts' frames are kept, so many bytes of each; none where it is 0. */
  uint32_t snap_length = 0;
  /** How long after a packet the same one is a copy of it and is not counted, microseconds; negative: no packet is. */
  double duplicate_window_us = -1;
};

/** The host number of packets that concern no monitored host; the caller gives its hosts even numbers from 2 on. */
constexpr int32_t unmonitored_host = 0;

/** A host's batch that is complete. */
struct ClosedBatch {
  int32_t host;
  /** Number of the batch for this host, from 0, without gaps. */
  int32_t seq;
  /** Highest capture time when it was closed. */
  double until_us;
  Batch content;
};

/** Where a packet was counted: row of a host's batch; no batch where `host` is Route::nobody or Route::with_low. */
struct BatchRow {
  int32_t host;
  int32_t seq = 0;
  uint32_t row = 0;
};

/** A packet that may tell a name; crosses as the words it is made of, in the order of `candidate` in native.ts. */
struct Candidate {
  uint32_t flow;
  /** Bits: sent by the low end; the state below is to be taken over; the next sequence number is known, low end's, high end's. */
  uint32_t flags;
  uint32_t looked;
  uint32_t next_low;
  uint32_t next_high;
  /** Place of the frame in its block. */
  uint32_t frame;
  uint32_t protocol;
  uint32_t source_port;
  uint32_t destination_port;
  uint32_t tcp_flags;
  uint32_t tcp_sequence;
  /** In the block's data. */
  uint32_t payload_offset;
  uint32_t payload_length;
  uint32_t payload_captured;
  /** The batches of the flow's low and high end that the packet is in. */
  BatchRow low;
  BatchRow high;
};

/** The state of a flow that the caller has looked at and hands back; words as `settledFlow` in native.ts. */
struct SettledFlow {
  uint32_t flow;
  /** Bits: decided; the next sequence number is known, low end's, high end's. */
  uint32_t flags;
  uint32_t looked;
  uint32_t next_low;
  uint32_t next_high;
};

/** What came of some frames. */
struct Captured {
  std::vector<ClosedBatch> batches;
  /** Frames of the monitored hosts, where they are kept. */
  std::vector<FrameChunk> frames;
  std::vector<Candidate> candidates;
  /** Numbers of flows that are gone, of those that were among the candidates; they may be given again from now on. */
  std::vector<uint32_t> forgotten;
  /**
   * Addresses of monitored networks that are hosts from now on; the n-th since the beginning (from 0) has number 2n + 1.
   * They stay here until the caller takes them.
   */
  std::vector<Address> network_hosts;
  /** A second of capture time is over, and every batch is closed. */
  bool ticked = false;
};

/**
 * Frames in, per-host packet batches out: decodes, finds the flow and its hosts, fills columns, and picks the packets in
 * which names are to be looked for. services/capture/capture.ts does the same in TypeScript, batch for batch.
 */
class Capture {
 public:
  explicit Capture(const CaptureOptions& options);

  /** Routes every flow anew, by what the hosts' addresses are from now on. */
  void set_hosts(HostTable hosts);

  /** Takes back flows that the caller has looked at: to be called before the next `add`. */
  void settle(std::span<const SettledFlow> flows);

  /** The answer, here and below, is valid until the next call, and its batches may be moved out. */
  Captured& add(const FrameBlock& block);

  /** Time goes on without packets. */
  Captured& tick(double now_us);

  /** Closes every batch; one without packets is the host's tick. */
  Captured& flush();

  /** NaN before the first packet. */
  double now_us() const { return clock_.now_us(); }

  /** Frames by what became of them: a place for each Reason, one for `ok` ones that nobody monitors, one for copies. */
  static constexpr size_t not_monitored = static_cast<size_t>(Reason::tunnel_fragment) + 1;
  static constexpr size_t duplicate = not_monitored + 1;
  const std::array<uint64_t, duplicate + 1>& frames() const { return frames_; }

  /** LINKTYPE_ values of the frames that were `unsupported_link_type`. */
  const std::bitset<65536>& unsupported_link_types() const { return unsupported_link_types_; }

 private:
  struct HostBatch {
    int32_t host;
    /** How many were built before: a flow's index is valid only for the build in which it was given. */
    int32_t generation = 0;
    BatchBuilder builder;
  };

  /** A frame between decoding and counting. */
  struct Decoded {
    Packet packet;
    Reason reason = Reason::ok;
    FlowKey key{packet};
    Fingerprint fingerprint;
    /** A copy of a packet before. */
    bool is_repeated = false;
    /** Where in `released_` the fragments end that come before this packet. */
    size_t released_end = 0;
  };

  /** What became of a decoded frame; counts its packet where it is to be counted. */
  size_t take(const Decoded& decoded, const FrameBlock& block, size_t frame);
  void decode_group(const FrameBlock& block, size_t first, size_t count);
  void find_copy(Decoded& decoded);
  void count_group(const FrameBlock& block, size_t first, size_t count);
  /** Counts a packet into the batches of its hosts; whether there are any. `block` is null for one that carries no names. */
  bool count(const Packet& packet, const FlowKey& key, const FrameBlock* block, size_t frame);
  /** Whether the sessions that a flow's two hosts have at this packet began with the same packet. */
  bool began_together(Flow& flow, const Packet& packet, const FlowTable::Found& found) const;
  BatchRow append(Route& route, const Flow& flow, bool is_low, const Packet& packet, bool from_remote, int32_t peer);
  /** Keeps the frame for each of the hosts. */
  void keep_frame(const FrameBlock& block, size_t frame, int32_t low_host, int32_t high_host);
  void look_for_name(const Packet& packet, uint32_t number, bool from_low, const FrameBlock& block, size_t frame,
                     const BatchRow& low, const BatchRow& high);
  /** Sets where a flow's packets go, and tells whether that has changed; if not, it keeps its place in the batches. */
  bool route(Flow& flow, double time_us);
  /** The host that had this address at that time; one of a monitored network becomes a host. */
  int32_t host_at(const Address& address, double time_us);
  int32_t batch_of(int32_t host);
  void close(HostBatch& batch);
  void close_all();
  void expire();
  void begin_answer();

  /** Frames that are decoded before they are counted, so that memory is fetched for all of them at once. */
  static constexpr size_t group_size = 16;

  const bool keep_unmonitored_;
  std::optional<HostFrames> host_frames_;
  std::optional<Duplicates> duplicates_;
  HostTable hosts_;
  std::unordered_map<Address, int32_t, AddressHash> network_hosts_;
  EventClock clock_;
  FrameDecoder decoder_;
  std::array<Decoded, group_size> group_;
  std::vector<Packet> released_;
  FlowTable flows_;
  size_t expire_at_size_;
  double ticked_us_;
  bool has_begun_ = false;
  std::vector<HostBatch> batches_;
  /** Place in `batches_` by host number; -1 for none. */
  std::vector<int32_t> batch_of_host_;
  /**
   * By host number: capture time when it was first told of; infinitely long ago for those known before the first frame.
   * Addresses of networks, which have odd numbers, were always known.
   */
  std::vector<double> known_us_;
  std::array<uint64_t, duplicate + 1> frames_{};
  std::bitset<65536> unsupported_link_types_;
  Captured answer_;
};

}  // namespace proclabel::packet
