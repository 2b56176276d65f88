#include "packet/flow_table.hh"

#include <map>
#include <random>
#include <tuple>

#include "packet/frames.hh"

using namespace proclabel::packet;

namespace {

Packet packet_of(uint8_t from, uint8_t to, uint16_t from_port, uint16_t to_port) {
  Packet packet;
  packet.source = frames::address(from);
  packet.destination = frames::address(to);
  packet.source_port = from_port;
  packet.destination_port = to_port;
  packet.protocol = protocol_tcp;
  return packet;
}

}  // namespace

TEST("both directions are one flow, and the key tells which end sent") {
  const FlowKey there(packet_of(1, 2, 5000, 80));
  const FlowKey back(packet_of(2, 1, 80, 5000));
  FlowTable table;
  CHECK_EQUAL(table.find(there, 1).number, table.find(back, 2).number);
  CHECK(there.from_low && !back.from_low);
  CHECK(FlowKey(packet_of(1, 1, 80, 5000)).from_low);
  CHECK(!FlowKey(packet_of(1, 1, 5000, 80)).from_low);
}

TEST("ends are ordered word by word as signed numbers, as in TypeScript") {
  const Address high_bit{0, 0x0000'00c0'ffff'0000};
  CHECK(high_bit < frames::address(1));
  CHECK((Address{0x0000'0080'0000'0000, 0}) < Address{});
}

TEST("flows and numbers are those of a map, through growth and expiry") {
  std::mt19937 random(1);
  FlowTable table;
  std::map<std::tuple<int, int, int>, std::pair<uint32_t, double>> model;
  for (int step = 0; step < 60'000; step++) {
    const int from = static_cast<int>(random() % 40), to = 100 + static_cast<int>(random() % 40);
    const int port = static_cast<int>(random() % 8);
    const auto found = table.find(FlowKey(packet_of(from, to, port, 9)), step);
    const auto [entry, is_new] = model.try_emplace({from, to, port}, found.number, step);
    CHECK_EQUAL(found.is_new, is_new);
    CHECK_EQUAL(found.number, entry->second.first);
    entry->second.second = step;
    CHECK_EQUAL(table.size(), model.size());
    if (step % 10'000 != 9'999) continue;
    const double before_us = step - 4'000;
    size_t forgotten = 0;
    table.expire(before_us, [&](uint32_t, const Flow& flow) {
      CHECK(flow.last_us < before_us);
      forgotten++;
    });
    CHECK_EQUAL(std::erase_if(model, [&](const auto& item) { return item.second.second < before_us; }), forgotten);
  }
}

TEST("the number that became free last is given first") {
  FlowTable table;
  for (uint16_t port = 0; port < 3; port++) table.find(FlowKey(packet_of(1, 2, port, 9)), port);
  table.expire(2, [](uint32_t, const Flow&) {});
  CHECK(table.living(0) == nullptr && table.living(2) != nullptr && table.living(3) == nullptr);
  CHECK_EQUAL(table.find(FlowKey(packet_of(1, 2, 7, 9)), 3).number, 1u);
  CHECK_EQUAL(table.find(FlowKey(packet_of(1, 2, 8, 9)), 3).number, 0u);
}
