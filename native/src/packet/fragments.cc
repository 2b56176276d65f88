#include "packet/fragments.hh"

#include <cmath>

#include "packet/random_seed.hh"

namespace proclabel::packet {

namespace {

/** Longer than any sender's reassembly timer (RFC 8200 section 4.5 says 60 s). */
constexpr double lifetime_us = 60'000'000;
constexpr size_t max_known = 8192;
constexpr size_t max_held = 4096;

}  // namespace

size_t FragmentKeyHash::operator()(const FragmentKey& key) const {
  const uint64_t rest = static_cast<uint64_t>(key.id) << 16 | key.version << 8 | key.protocol;
  return mix_bits(mix_bits(key.source.head ^ random_seed(), key.source.tail),
                  mix_bits(key.destination.head ^ rest, key.destination.tail));
}

void Fragments::learn(const FragmentKey& key, bool inside_tunnel, const Packet& packet, std::vector<Packet>& released) {
  expire(packet.time_us);
  const First& first = firsts_.add(key, {packet.time_us, inside_tunnel, packet.protocol, packet.source_port,
                                         packet.destination_port, packet.tunnel});
  if (firsts_.size() > max_known) firsts_.erase_oldest();

  Held* waiting = held_.find(key);
  if (waiting == nullptr) return;
  held_count_ -= waiting->packets.size();
  if (!inside_tunnel) {
    for (Packet& later : waiting->packets) {
      fill_ports(later, first);
      released.push_back(later);
    }
  }
  held_.erase(key);
}

bool Fragments::knows_session(const FragmentKey& key) {
  const First* first = firsts_.find(key);
  return first != nullptr && !first->inside_tunnel;
}

Reason Fragments::join(const FragmentKey& key, Packet& packet) {
  expire(packet.time_us);
  const First* first = firsts_.find(key);
  if (first == nullptr) {
    hold(key, packet);
    return Reason::fragment_held;
  }
  if (first->inside_tunnel) return Reason::tunnel_fragment;
  fill_ports(packet, *first);
  return Reason::ok;
}

void Fragments::fill_ports(Packet& later, const First& first) {
  later.protocol = first.protocol;
  later.source_port = first.source_port;
  later.destination_port = first.destination_port;
  later.tunnel = first.tunnel;
}

void Fragments::hold(const FragmentKey& key, const Packet& packet) {
  if (held_count_ >= max_held) drop_oldest_held();
  Held* waiting = held_.find(key);
  if (waiting == nullptr) waiting = &held_.add(key, {packet.time_us, {}});
  // Without the payload's place: the frame is gone when the copy is used.
  waiting->packets.push_back(packet);
  waiting->packets.back().payload_offset = 0;
  waiting->packets.back().payload_captured = 0;
  held_count_++;
  last_held_ = key;
}

void Fragments::forget_last_held() {
  Held* waiting = held_.find(last_held_);
  waiting->packets.pop_back();
  held_count_--;
  if (waiting->packets.empty()) held_.erase(last_held_);
}

void Fragments::expire(double now_us) {
  const auto is_past = [now_us](double time_us) { return std::abs(now_us - time_us) > lifetime_us; };
  while (!firsts_.empty() && is_past(firsts_.oldest().time_us)) firsts_.erase_oldest();
  while (!held_.empty() && is_past(held_.oldest().time_us)) drop_oldest_held();
}

void Fragments::drop_oldest_held() {
  held_count_ -= held_.oldest().packets.size();
  held_.erase_oldest();
}

}  // namespace proclabel::packet
