#pragma once

#include <cstdint>
#include <cstring>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "session/session.hh"

namespace proclabel::session {

/** A column of a batch, as the bytes of its Avro field; it may begin at any byte. */
template <typename T>
class Column {
 public:
  Column(std::span<const uint8_t> bytes) : begin_(bytes.data()), rows_(bytes.size() / sizeof(T)) {}
  size_t size() const { return rows_; }
  T operator[](size_t row) const {
    T value;
    std::memcpy(&value, begin_ + row * sizeof(T), sizeof(T));
    return value;
  }

 private:
  const uint8_t* begin_;
  size_t rows_;
};

/** The columns of a batch (schemas/packet-batch.avsc) that sessions need. */
struct BatchColumns {
  /** Two a flow: local, remote; the same of ports. */
  Column<Address> flow_address;
  Column<uint16_t> flow_port;
  Column<uint8_t> flow_protocol;
  Column<uint16_t> flow_vlan;
  Column<uint16_t> flow_tunnel;
  Column<uint16_t> packet_flow;
  Column<int32_t> packet_time;
  Column<uint32_t> packet_ip_length;
  Column<uint8_t> packet_tcp_flags;
  Column<uint8_t> packet_direction;
  Column<uint32_t> syn_sequence;

  uint32_t flows() const { return static_cast<uint32_t>(flow_protocol.size()); }
  uint32_t packets() const { return static_cast<uint32_t>(packet_tcp_flags.size()); }

  /** Whether the columns fit each other; those of a batch that does not must not be read. */
  bool fit() const;
};

/** Names that packet number `row` of a batch completed. */
struct NamedPacket {
  uint32_t row;
  bool has_sni;
  Text names;
};

/**
 * The sessions of one host that are open, and those that have ended and were not taken yet. It does what SessionTable in
 * services/core/session-table.ts does, in the same order.
 */
class SessionTable {
 public:
  SessionTable();

  /** Gathers a batch's packets into sessions; where packets were lost before, every session that is open is marked. */
  void apply(const BatchColumns& batch, double base_us, bool lost, std::span<const Text> tunnels,
             std::span<const NamedPacket> named);

  /** Lets time go on: ends what was silent too long. */
  void advance(double now_us);

  /** The input is over: ends every session. */
  void finish();

  /** Those that ended, in order; valid until `forget_ended`. */
  std::span<const uint32_t> ended() const { return ended_; }
  const Session& operator[](uint32_t entry) const { return at(entry); }
  void forget_ended();

 private:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr uint32_t chunk_bits = 8;
  static constexpr uint32_t chunk_sessions = 1 << chunk_bits;

  struct Slot {
    uint32_t hash = 0;
    uint32_t entry = none;
  };

  /** Sessions that are looked at in one step, in the order in which that was decided. */
  struct Step {
    int64_t number;
    uint32_t first = none;
    uint32_t last = none;
  };

  Session& at(uint32_t entry) { return chunks_[entry >> chunk_bits][entry & (chunk_sessions - 1)]; }
  const Session& at(uint32_t entry) const { return chunks_[entry >> chunk_bits][entry & (chunk_sessions - 1)]; }

  /** The rows of a batch flow by flow, in their order within each. */
  void sort_by_flow(const BatchColumns& batch);
  void find_sequences(const BatchColumns& batch);
  void hash_flows(const BatchColumns& batch);
  void prefetch_session(uint32_t hash) const;
  uint32_t find(const BatchColumns& batch, uint32_t flow) const;
  uint32_t add_packet(const BatchColumns& batch, double base_us, uint32_t flow, uint32_t row, uint32_t entry,
                      std::span<const Text> tunnels);
  uint32_t start(const BatchColumns& batch, uint32_t flow, double time_us, bool from_remote,
                 std::span<const Text> tunnels);
  void end(uint32_t entry, EndReason reason);
  void follow(Session& session, uint8_t flags, uint32_t sequence, bool from_remote);
  void look(uint32_t entry, double now_us);
  void schedule(uint32_t entry, Session& session);
  void unschedule(Session& session);
  uint32_t take_entry();
  void place(Slot slot);
  void remove_slot(uint32_t entry, uint32_t hash);

  std::vector<std::unique_ptr<Session[]>> chunks_;
  uint32_t entries_ = 0;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> ended_;
  /** At most half of them are taken. */
  std::vector<Slot> slots_;
  uint32_t mask_;
  uint32_t open_ = 0;
  uint32_t first_open_ = none;
  uint32_t last_open_ = none;
  /** In the order in which they were first wanted. */
  std::list<Step> steps_;
  std::unordered_map<int64_t, std::list<Step>::iterator> step_of_number_;
  int64_t swept_step_ = INT64_MIN;

  // Of the batch at hand.
  std::vector<uint32_t> rows_;
  std::vector<uint32_t> ends_;
  std::vector<uint32_t> hashes_;
  std::vector<uint32_t> sequences_;
};

}  // namespace proclabel::session
