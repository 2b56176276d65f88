#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "packet/packet.hh"

namespace proclabel::packet {

/** A 5-tuple without direction: the end with the lower address (then port) is the flow's low end. */
struct FlowKey {
  explicit FlowKey(const Packet& packet);

  Address low;
  Address high;
  uint16_t low_port;
  uint16_t high_port;
  uint8_t protocol;
  /** The packet was sent by the low end. */
  bool from_low;
  uint32_t hash;
};

/** Where a flow's packets go for one of its ends: that end's batch, and the flow's place in it. */
struct Route {
  static constexpr int32_t nobody = -1;
  /** Of the high end: the low end is the same host's, or neither is a host's, and the packets are in its batch. */
  static constexpr int32_t with_low = -2;
  static constexpr int32_t never = -1;

  int32_t batch = nobody;
  /** The flow's place in the batch, valid only for the build in which it was given. */
  int32_t generation = never;
  uint32_t index = 0;
};

/** How far the search for a flow's name has come; the fields are those of WireNames in services/core/decode/names.ts. */
struct NameState {
  /** TCP bytes or UDP datagrams looked at. */
  uint32_t looked = 0;
  /** By end, low first: the sequence number expected next, and whether it is known. */
  uint32_t next[2] = {};
  bool known[2] = {};
  /** It needs no more looking. */
  bool decided = false;
  /** The caller looks at it, or did since this state was handed over: what stands here is old. */
  bool with_caller = false;
  /** The caller has been told of this flow, and is to be told when it is gone. */
  bool told = false;
};

/** What is kept of a flow: two cache lines at most. */
struct alignas(32) Flow {
  Address low;
  Address high;
  /** Time of the last packet; infinite for a number that is no flow's. */
  double last_us = std::numeric_limits<double>::infinity();
  uint32_t hash = 0;
  uint16_t low_port = 0;
  uint16_t high_port = 0;
  uint8_t protocol = 0;
  /** Its session may have begun before the hosts at both ends were known: then their sessions do not begin alike. */
  bool in_midst = false;
  NameState names;
  Route low_route;
  Route high_route;

  bool lives() const { return std::isfinite(last_us); }
  bool is(const FlowKey& key) const {
    return low_port == key.low_port && high_port == key.high_port && protocol == key.protocol && low == key.low &&
           high == key.high;
  }
};

static_assert(sizeof(Flow) == 96);

/**
 * Bidirectional flows by 5-tuple, each with a small number that is stable while the flow lives; numbers are given as
 * services/capture/flow-table.ts gives them. Open addressing with linear probing; a slot keeps the hash, so that a wrong
 * flow is rarely looked at. Hostile traffic cannot choose where it lands: the hash is seeded.
 */
class FlowTable {
 public:
  struct Found {
    uint32_t number;
    bool is_new;
    /** Time of the flow's packet before; NaN where it is new. */
    double before_us;
  };

  FlowTable();

  size_t size() const { return flows_.size() - free_.size(); }
  Flow& operator[](uint32_t number) { return flows_[number]; }

  /** Brings what `find` will read into the cache. */
  void prefetch_slot(const FlowKey& key) const { __builtin_prefetch(&slots_[key.hash & mask_]); }
  void prefetch_flow(const FlowKey& key) const;

  /** The number of the flow, made if it has none yet. */
  Found find(const FlowKey& key, double time_us);

  /** Forgets the flows whose last packet is older than `before_us`; `forget(number, flow)` is called for each before. */
  template <typename Forget>
  void expire(double before_us, Forget forget) {
    for (uint32_t number = 0; number < flows_.size(); number++) {
      if (flows_[number].last_us >= before_us) continue;
      forget(number, flows_[number]);
      remove(number);
    }
  }

  template <typename Visit>
  void for_each(Visit visit) {
    for (Flow& flow : flows_)
      if (flow.lives()) visit(flow);
  }

  /** Null for a number that is no flow's. */
  Flow* living(uint32_t number) {
    return number < flows_.size() && flows_[number].lives() ? &flows_[number] : nullptr;
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t flow = -1;
  };

  void place(Slot slot);
  void grow_slots();
  void remove(uint32_t number);

  std::vector<Flow> flows_;
  std::vector<uint32_t> free_;
  /** At most half of them are taken. */
  std::vector<Slot> slots_;
  uint32_t mask_;
};

}  // namespace proclabel::packet
