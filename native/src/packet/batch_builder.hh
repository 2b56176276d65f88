#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "packet/packet.hh"

namespace proclabel::packet {

/**
 * A finished batch of the `packets` schema: its columns in one piece of memory, back to back in the order of the schema,
 * each the content of its Avro `bytes` field as it stands.
 */
struct Batch {
  uint32_t flows = 0;
  uint32_t packets = 0;
  uint32_t syns = 0;
  /** Microseconds since the epoch; packet_time counts from it. Without meaning where there are no packets. */
  double base_us = 0;
  std::unique_ptr<uint8_t[]> memory;
  size_t size = 0;
  std::vector<Tunnel> tunnels;
  /** Hosts that flow_peer has the places of; without any, the column is empty. */
  std::vector<int32_t> peers;
};

/** Fills the columns of one batch after another; schemas/packet-columns.ts says what each holds. */
class BatchBuilder {
 public:
  /** Packets and flows a batch holds at most, as in schemas/packet-columns.ts. */
  static constexpr uint32_t max_packets = 16'384;
  static constexpr uint32_t max_flows = 8192;

  uint32_t packets() const { return packets_; }

  /** Whether a packet of this time can be added: there is room, and the time fits an int32 of microseconds from the base. */
  bool accepts(double time_us) const;

  static constexpr int32_t no_peer = -1;

  /** Adds a flow and returns its index. Vlan and tunnel are those of the packet at hand; `peer` is the host at the remote end. */
  uint32_t add_flow(const Address& local, const Address& remote, uint16_t local_port, uint16_t remote_port,
                    const Packet& packet, int32_t peer = no_peer);

  /** Adds a packet of a flow of this batch; the caller has asked `accepts`. */
  void add_packet(uint32_t flow, const Packet& packet, bool from_remote);

  /** The batch so far, copied out; the builder is empty afterwards. */
  Batch build();

 private:
  /** A column that grows with the others of its kind; rows beyond what was written have no meaning. */
  template <typename T>
  class Column {
   public:
    T& operator[](size_t row) { return rows_[row]; }
    const T* data() const { return rows_.get(); }
    void grow(size_t from, size_t to) {
      auto larger = std::make_unique_for_overwrite<T[]>(to);
      std::copy_n(rows_.get(), from, larger.get());
      rows_ = std::move(larger);
    }

   private:
    std::unique_ptr<T[]> rows_;
  };

  uint16_t place_of_peer(int32_t peer);
  void grow_flows();
  void grow_packets();

  uint32_t flows_ = 0;
  uint32_t flow_capacity_ = 0;
  Column<Address> flow_address_;
  Column<uint16_t> flow_port_;
  Column<uint8_t> flow_protocol_;
  Column<uint16_t> flow_vlan_;
  Column<uint16_t> flow_tunnel_;
  Column<uint16_t> flow_peer_;
  std::vector<Tunnel> tunnels_;
  std::vector<int32_t> peers_;
  /** By host: its place in `peers_`. */
  std::vector<uint16_t> peer_places_;

  double base_us_ = 0;
  uint32_t packets_ = 0;
  uint32_t packet_capacity_ = 0;
  Column<uint16_t> packet_flow_;
  Column<int32_t> packet_time_;
  Column<uint32_t> wire_length_;
  Column<uint32_t> ip_length_;
  Column<uint32_t> payload_length_;
  Column<uint8_t> tcp_flags_;
  Column<uint8_t> direction_;
  Column<uint32_t> syn_sequence_;
  uint32_t syns_ = 0;
};

}  // namespace proclabel::packet
