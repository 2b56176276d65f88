#include "packet/batch_builder.hh"

#include <cstring>

#include "packet/frames.hh"

using namespace proclabel::packet;
using frames::address;

namespace {

template <typename T>
T value_at(const Batch& batch, size_t at) {
  T value;
  CHECK(at + sizeof(T) <= batch.size);
  std::memcpy(&value, batch.memory.get() + at, sizeof(T));
  return value;
}

Packet packet_at(double time_us, uint8_t flags = 0) {
  Packet packet;
  packet.time_us = time_us;
  packet.protocol = protocol_tcp;
  packet.tcp_flags = flags;
  packet.tcp_sequence = 77;
  packet.wire_length = 60;
  return packet;
}

}  // namespace

TEST("columns stand back to back in the order of the schema") {
  BatchBuilder builder;
  Packet tunnelled = packet_at(100);
  tunnelled.tunnel.kind = TunnelKind::gre;
  tunnelled.vlan = 5;
  CHECK_EQUAL(builder.add_flow(address(1), address(2), 1000, 80, packet_at(100)), 0u);
  CHECK_EQUAL(builder.add_flow(address(1), address(3), 1001, 80, tunnelled), 1u);
  builder.add_packet(0, packet_at(100, flag_syn), false);
  builder.add_packet(1, packet_at(90), true);
  const Batch batch = builder.build();
  CHECK_EQUAL(batch.size, 2 * 41 + 2 * 20 + 4u);
  CHECK_EQUAL(value_at<Address>(batch, 48), address(3));
  CHECK_EQUAL(value_at<uint16_t>(batch, 64 + 4), 1001);
  CHECK_EQUAL(value_at<uint8_t>(batch, 72), protocol_tcp);
  CHECK_EQUAL(value_at<uint16_t>(batch, 74), no_vlan);
  CHECK_EQUAL(value_at<uint16_t>(batch, 76), 5);
  CHECK_EQUAL(value_at<uint16_t>(batch, 78), 0xffff);
  CHECK_EQUAL(value_at<uint16_t>(batch, 80), 0);
  CHECK_EQUAL(batch.tunnels.size(), 1u);
  CHECK_EQUAL(value_at<uint16_t>(batch, 82 + 2), 1);
  CHECK_EQUAL(value_at<int32_t>(batch, 86 + 4), -10);
  CHECK_EQUAL(value_at<uint32_t>(batch, 94), 60u);
  CHECK_EQUAL(value_at<uint8_t>(batch, 120 + 1), 1);
  CHECK_EQUAL(value_at<uint32_t>(batch, 122), 77u);
  CHECK_EQUAL(batch.base_us, 100.0);
}

TEST("peers are named once a batch, and take no room where there are none") {
  BatchBuilder builder;
  for (const int32_t peer : {7, BatchBuilder::no_peer, 3, 7})
    builder.add_flow(address(1), address(2), 1, 2, packet_at(0), peer);
  const Batch batch = builder.build();
  CHECK_EQUAL(batch.size, 4 * 43u);
  CHECK(batch.peers == std::vector<int32_t>({7, 3}));
  const uint16_t expected[] = {0, 0xffff, 1, 0};
  for (size_t flow = 0; flow < 4; flow++) CHECK_EQUAL(value_at<uint16_t>(batch, 4 * 41 + 2 * flow), expected[flow]);
  builder.add_flow(address(1), address(2), 1, 2, packet_at(0), 3);
  const Batch next = builder.build();
  CHECK_EQUAL(next.peers.size(), 1u);
  CHECK_EQUAL(value_at<uint16_t>(next, 41), 0);
  builder.add_flow(address(1), address(2), 1, 2, packet_at(0));
  CHECK_EQUAL(builder.build().size, 41u);
}

TEST("a batch ends when it is full of packets or of flows, or when a time does not fit") {
  BatchBuilder builder;
  builder.add_flow(address(1), address(2), 1, 2, packet_at(0));
  for (uint32_t i = 0; i < BatchBuilder::max_packets; i++) {
    CHECK(builder.accepts(i));
    builder.add_packet(0, packet_at(i), false);
  }
  CHECK(!builder.accepts(0));
  CHECK_EQUAL(builder.build().packets, BatchBuilder::max_packets);
  for (uint32_t i = 0; i < BatchBuilder::max_flows; i++) builder.add_flow(address(1), address(2), 1, 2, packet_at(0));
  builder.add_packet(0, packet_at(0), false);
  CHECK(!builder.accepts(0));
  builder.build();
  builder.add_packet(builder.add_flow(address(1), address(2), 1, 2, packet_at(0)), packet_at(0), false);
  CHECK(builder.accepts(-2147483647.0) && !builder.accepts(2147483648.0));
  CHECK_EQUAL(builder.build().flows, 1u);
}

TEST("an empty batch has no bytes") { CHECK_EQUAL(BatchBuilder().build().size, 0u); }
