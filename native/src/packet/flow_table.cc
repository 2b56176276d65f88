#include "packet/flow_table.hh"

#include <utility>

#include "packet/random_seed.hh"

namespace proclabel::packet {

namespace {

constexpr size_t initial_slots = 4096;

uint32_t hash_of(const FlowKey& key) {
  const uint64_t rest = static_cast<uint64_t>(key.low_port) << 32 | key.high_port << 16 | key.protocol;
  return static_cast<uint32_t>(mix_bits(mix_bits(key.low.head ^ random_seed(), key.low.tail),
                                        mix_bits(key.high.head ^ rest, key.high.tail)));
}

}  // namespace

FlowKey::FlowKey(const Packet& packet) : protocol(packet.protocol) {
  const auto order = packet.source <=> packet.destination;
  from_low = order < 0 || (order == 0 && packet.source_port <= packet.destination_port);
  low = from_low ? packet.source : packet.destination;
  high = from_low ? packet.destination : packet.source;
  low_port = from_low ? packet.source_port : packet.destination_port;
  high_port = from_low ? packet.destination_port : packet.source_port;
  hash = hash_of(*this);
}

FlowTable::FlowTable() : slots_(initial_slots), mask_(initial_slots - 1) {}

void FlowTable::prefetch_flow(const FlowKey& key) const {
  const Slot& slot = slots_[key.hash & mask_];
  if (slot.flow < 0) return;
  const char* flow = reinterpret_cast<const char*>(&flows_[slot.flow]);
  __builtin_prefetch(flow, 1);
  __builtin_prefetch(flow + 64, 1);
}

FlowTable::Found FlowTable::find(const FlowKey& key, double time_us) {
  for (uint32_t at = key.hash & mask_; slots_[at].flow >= 0; at = (at + 1) & mask_) {
    if (slots_[at].hash != key.hash) continue;
    Flow& flow = flows_[slots_[at].flow];
    if (!flow.is(key)) continue;
    return {static_cast<uint32_t>(slots_[at].flow), false, std::exchange(flow.last_us, time_us)};
  }
  uint32_t number;
  if (free_.empty()) {
    number = static_cast<uint32_t>(flows_.size());
    flows_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
    flows_[number] = Flow{};
  }
  Flow& flow = flows_[number];
  flow.low = key.low;
  flow.high = key.high;
  flow.hash = key.hash;
  flow.low_port = key.low_port;
  flow.high_port = key.high_port;
  flow.protocol = key.protocol;
  flow.last_us = time_us;
  if (size() * 2 > slots_.size()) grow_slots();
  place({key.hash, static_cast<int32_t>(number)});
  return {number, true, std::numeric_limits<double>::quiet_NaN()};
}

void FlowTable::place(Slot slot) {
  uint32_t at = slot.hash & mask_;
  while (slots_[at].flow >= 0) at = (at + 1) & mask_;
  slots_[at] = slot;
}

void FlowTable::grow_slots() {
  std::vector<Slot> before(slots_.size() * 2);
  before.swap(slots_);
  mask_ = static_cast<uint32_t>(slots_.size() - 1);
  for (const Slot& slot : before)
    if (slot.flow >= 0) place(slot);
}

void FlowTable::remove(uint32_t number) {
  Flow& flow = flows_[number];
  uint32_t hole = flow.hash & mask_;
  while (slots_[hole].flow != static_cast<int32_t>(number)) hole = (hole + 1) & mask_;
  // A slot behind the hole moves into it unless its home is behind the hole too: nothing else may come between.
  for (uint32_t at = (hole + 1) & mask_; slots_[at].flow >= 0; at = (at + 1) & mask_) {
    const uint32_t from_home = (at - slots_[at].hash) & mask_;
    if (from_home < ((at - hole) & mask_)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = Slot{};
  flow.last_us = std::numeric_limits<double>::infinity();
  free_.push_back(number);
}

}  // namespace proclabel::packet
