#include "packet/batch_builder.hh"

#include <cmath>
#include <cstring>
#include <limits>

namespace proclabel::packet {

namespace {

/** Value of flow_tunnel and flow_peer that stands for none. */
constexpr uint16_t none = 0xffff;

constexpr uint8_t bit_from_remote = 1;
constexpr uint8_t bit_later_fragment = 2;

constexpr uint32_t first_flows = 64;
constexpr uint32_t first_packets = 256;

}  // namespace

bool BatchBuilder::accepts(double time_us) const {
  if (packets_ == 0) return true;
  const bool has_room = packets_ < max_packets && flows_ < max_flows;
  return has_room && std::abs(time_us - base_us_) <= std::numeric_limits<int32_t>::max();
}

uint32_t BatchBuilder::add_flow(const Address& local, const Address& remote, uint16_t local_port, uint16_t remote_port,
                                const Packet& packet, int32_t peer) {
  if (flows_ == flow_capacity_) grow_flows();
  const uint32_t flow = flows_++;
  flow_address_[flow * 2] = local;
  flow_address_[flow * 2 + 1] = remote;
  flow_port_[flow * 2] = local_port;
  flow_port_[flow * 2 + 1] = remote_port;
  flow_protocol_[flow] = packet.protocol;
  flow_vlan_[flow] = packet.vlan;
  flow_peer_[flow] = place_of_peer(peer);
  flow_tunnel_[flow] = none;
  if (packet.tunnel.kind != TunnelKind::none) {
    flow_tunnel_[flow] = static_cast<uint16_t>(tunnels_.size());
    tunnels_.push_back(packet.tunnel);
  }
  return flow;
}

uint16_t BatchBuilder::place_of_peer(int32_t peer) {
  if (peer == no_peer) return none;
  const auto host = static_cast<size_t>(peer);
  if (host >= peer_places_.size()) peer_places_.resize(host + 1, none);
  if (peer_places_[host] == none) {
    peer_places_[host] = static_cast<uint16_t>(peers_.size());
    peers_.push_back(peer);
  }
  return peer_places_[host];
}

void BatchBuilder::add_packet(uint32_t flow, const Packet& packet, bool from_remote) {
  if (packets_ == packet_capacity_) grow_packets();
  const uint32_t row = packets_++;
  if (row == 0) base_us_ = packet.time_us;
  packet_flow_[row] = static_cast<uint16_t>(flow);
  packet_time_[row] = static_cast<int32_t>(packet.time_us - base_us_);
  wire_length_[row] = packet.wire_length;
  ip_length_[row] = packet.ip_length;
  payload_length_[row] = packet.payload_length;
  tcp_flags_[row] = packet.tcp_flags;
  direction_[row] = (from_remote ? bit_from_remote : 0) | (packet.later_fragment ? bit_later_fragment : 0);
  if ((packet.tcp_flags & flag_syn) != 0) syn_sequence_[syns_++] = packet.tcp_sequence;
}

Batch BatchBuilder::build() {
  constexpr size_t flow_bytes = 32 + 4 + 1 + 2 + 2;
  constexpr size_t packet_bytes = 2 + 4 + 4 + 4 + 4 + 1 + 1;
  for (const int32_t peer : peers_) peer_places_[static_cast<size_t>(peer)] = none;
  const size_t peer_rows = peers_.empty() ? 0 : flows_;
  Batch batch{flows_, packets_, syns_, base_us_, nullptr, 0, std::move(tunnels_), std::move(peers_)};
  batch.size = flows_ * flow_bytes + peer_rows * sizeof(uint16_t) + packets_ * packet_bytes + syns_ * sizeof(uint32_t);
  batch.memory = std::make_unique_for_overwrite<uint8_t[]>(batch.size);
  uint8_t* to = batch.memory.get();
  const auto copy = [&to](const auto& column, size_t rows) {
    const size_t bytes = rows * sizeof(*column.data());
    if (bytes > 0) std::memcpy(to, column.data(), bytes);
    to += bytes;
  };
  copy(flow_address_, flows_ * 2);
  copy(flow_port_, flows_ * 2);
  copy(flow_protocol_, flows_);
  copy(flow_vlan_, flows_);
  copy(flow_tunnel_, flows_);
  copy(flow_peer_, peer_rows);
  copy(packet_flow_, packets_);
  copy(packet_time_, packets_);
  copy(wire_length_, packets_);
  copy(ip_length_, packets_);
  copy(payload_length_, packets_);
  copy(tcp_flags_, packets_);
  copy(direction_, packets_);
  copy(syn_sequence_, syns_);
  packets_ = 0;
  flows_ = 0;
  syns_ = 0;
  tunnels_.clear();
  peers_.clear();
  return batch;
}

void BatchBuilder::grow_flows() {
  const uint32_t to = flow_capacity_ == 0 ? first_flows : flow_capacity_ * 2;
  flow_address_.grow(flows_ * 2, to * 2);
  flow_port_.grow(flows_ * 2, to * 2);
  flow_protocol_.grow(flows_, to);
  flow_vlan_.grow(flows_, to);
  flow_tunnel_.grow(flows_, to);
  flow_peer_.grow(flows_, to);
  flow_capacity_ = to;
}

void BatchBuilder::grow_packets() {
  const uint32_t to = packet_capacity_ == 0 ? first_packets : packet_capacity_ * 2;
  packet_flow_.grow(packets_, to);
  packet_time_.grow(packets_, to);
  wire_length_.grow(packets_, to);
  ip_length_.grow(packets_, to);
  payload_length_.grow(packets_, to);
  tcp_flags_.grow(packets_, to);
  direction_.grow(packets_, to);
  syn_sequence_.grow(packets_, to);
  packet_capacity_ = to;
}

}  // namespace proclabel::packet
