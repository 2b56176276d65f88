#pragma once

#include <cstdint>
#include <vector>

#include "packet/cursor.hh"
#include "packet/insertion_ordered_map.hh"

namespace proclabel::packet {

/** RFC 791 section 3.2 and RFC 8200 section 4.5: addresses and identification, for IPv4 the protocol too. */
struct FragmentKey {
  Address source;
  Address destination;
  uint32_t id;
  uint8_t version;
  uint8_t protocol;

  bool operator==(const FragmentKey&) const = default;
};

struct FragmentKeyHash {
  size_t operator()(const FragmentKey& key) const;
};

/**
 * Joins later IP fragments, which have no ports, to the session of their first one. Later fragments that come before
 * their first are held, as summaries without their bytes. Both tables are bounded in number and in event time.
 */
class Fragments {
 public:
  /** Learns from a first fragment, and appends those that waited for it to `released`. */
  void learn(const FragmentKey& key, bool inside_tunnel, const Packet& packet, std::vector<Packet>& released);

  bool knows_session(const FragmentKey& key);

  /** Fills in the ports of a later fragment; else says what became of it. */
  Reason join(const FragmentKey& key, Packet& packet);

  /** The fragment that `join` has just held is a copy of one before, and not to be counted. */
  void forget_last_held();

 private:
  /** What a first fragment tells about the later ones: their session, or that they are part of a tunnelled packet. */
  struct First {
    double time_us;
    bool inside_tunnel;
    uint8_t protocol;
    uint16_t source_port;
    uint16_t destination_port;
    Tunnel tunnel;
  };

  struct Held {
    double time_us;
    std::vector<Packet> packets;
  };

  static void fill_ports(Packet& later, const First& first);
  void hold(const FragmentKey& key, const Packet& packet);
  void expire(double now_us);
  void drop_oldest_held();

  InsertionOrderedMap<FragmentKey, First, FragmentKeyHash> firsts_;
  InsertionOrderedMap<FragmentKey, Held, FragmentKeyHash> held_;
  size_t held_count_ = 0;
  FragmentKey last_held_{};
};

}  // namespace proclabel::packet
