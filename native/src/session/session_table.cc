#include "session/session_table.hh"

#include <algorithm>
#include <cmath>
#include <limits>

#include "packet/random_seed.hh"

namespace proclabel::session {

namespace {

// As sessionTimes in services/core/session-table.ts.
constexpr double tcp_idle_us = 300'000'000;
constexpr double other_idle_us = 60'000'000;
constexpr double close_us = 5'000'000;
constexpr double linger_us = 60'000'000;
constexpr double early_us = 10'000'000;
constexpr double early_interval_us = 300'000'000;
constexpr double step_us = 250'000;

constexpr double farthest_gap_us = std::numeric_limits<int32_t>::max();
constexpr size_t initial_slots = 4096;
constexpr uint32_t well_known_ports = 1024;

constexpr uint8_t flag_fin = 1;
constexpr uint8_t flag_rst = 4;
using packet::flag_ack;
using packet::flag_syn;
constexpr uint8_t bit_from_remote = 1;

/** Flows whose slots, and then sessions, are fetched before they are looked at. */
constexpr uint32_t slots_ahead = 16;
constexpr uint32_t sessions_ahead = 8;

int64_t step_of(double time_us) { return static_cast<int64_t>(std::floor(time_us / step_us)); }

double idle_us(const Session& session) {
  return session.protocol == packet::protocol_tcp ? tcp_idle_us : other_idle_us;
}

/** When the session will have been silent for too long. */
double silent_us(const Session& session) {
  return session.last_us + (session.end_reason == EndReason::none ? idle_us(session) : linger_us);
}

/** When the table would be asked for the next record: early ones while it goes on, one when it has ended. */
double record_us(const Session& session) {
  if (session.end_reason != EndReason::none) {
    const bool is_out = session.published_us > session.last_us;
    return is_out ? std::numeric_limits<double>::infinity() : session.last_us + close_us;
  }
  return session.published_us == 0 ? session.first_us + early_us : session.published_us + early_interval_us;
}

/** Whether a packet no longer belongs to the session: silence, or a connection opened anew on the same 5-tuple. */
bool is_over(const Session& session, double time_us, uint8_t flags, uint32_t sequence, bool from_remote) {
  if (time_us >= silent_us(session)) return true;
  if ((flags & (flag_syn | flag_ack)) != flag_syn || session.protocol != packet::protocol_tcp) return false;
  const int64_t earlier = session.syn[from_remote];
  if (earlier >= 0) return earlier != sequence;
  // A SYN that is older than what was seen after it came late: it opened this session.
  return session.end_reason != EndReason::none && time_us > session.last_us;
}

void count(Session& session, double time_us, uint32_t ip_length, uint8_t flags, bool from_remote) {
  if (session.splt_count < Session::first_packets) {
    const double gap_us = session.splt_count == 0 ? 0 : time_us - session.splt_us;
    session.splt[session.splt_count++] = {
        static_cast<int32_t>(from_remote ? 0 - ip_length : ip_length),
        static_cast<int32_t>(std::max(-farthest_gap_us, std::min(gap_us, farthest_gap_us)))};
    session.splt_us = time_us;
  }
  if (time_us > session.last_us) session.last_us = time_us;
  else if (time_us < session.first_us) session.first_us = time_us;
  session.packets[from_remote]++;
  session.bytes[from_remote] += ip_length;
  session.tcp_flags |= flags;
}

/** Who opened the session, as far as ports or the first packet tell. */
void guess_direction(Session& session) {
  const bool has_ports = session.protocol == packet::protocol_tcp || session.protocol == packet::protocol_udp;
  const bool is_local_server = session.local_port < well_known_ports;
  const bool by_port = has_ports && is_local_server != (session.remote_port < well_known_ports);
  session.direction_by = by_port ? DirectionBy::port : DirectionBy::first_packet;
  session.is_in = by_port ? is_local_server : session.first_from_remote;
}

}  // namespace

bool BatchColumns::fit() const {
  const size_t flow_rows = flow_protocol.size(), packet_rows = packet_tcp_flags.size();
  if (flow_address.size() != flow_rows * 2 || flow_port.size() != flow_rows * 2) return false;
  if (flow_vlan.size() != flow_rows || flow_tunnel.size() != flow_rows) return false;
  for (const size_t rows : {packet_flow.size(), packet_time.size(), packet_ip_length.size(), packet_direction.size()})
    if (rows != packet_rows) return false;
  size_t syns = 0;
  for (size_t row = 0; row < packet_rows; row++) {
    if (packet_flow[row] >= flow_rows) return false;
    if ((packet_tcp_flags[row] & flag_syn) != 0) syns++;
  }
  return syns == syn_sequence.size();
}

SessionTable::SessionTable() : slots_(initial_slots), mask_(initial_slots - 1) {}

void SessionTable::apply(const BatchColumns& batch, double base_us, bool lost, std::span<const Text> tunnels,
                         std::span<const NamedPacket> named) {
  if (lost)
    for (uint32_t entry = first_open_; entry != none; entry = at(entry).open_after) at(entry).capture_gap = true;
  sort_by_flow(batch);
  find_sequences(batch);
  hash_flows(batch);
  std::unordered_map<uint32_t, const NamedPacket*> names;
  for (const NamedPacket& name : named) names[name.row] = &name;
  for (uint32_t flow = 0, i = 0; flow < batch.flows(); flow++) {
    if (flow + slots_ahead < batch.flows()) __builtin_prefetch(&slots_[hashes_[flow + slots_ahead] & mask_]);
    if (flow + sessions_ahead < batch.flows()) prefetch_session(hashes_[flow + sessions_ahead]);
    uint32_t entry = find(batch, flow);
    for (; i < ends_[flow]; i++) {
      entry = add_packet(batch, base_us, flow, rows_[i], entry, tunnels);
      if (names.empty()) continue;
      const auto name = names.find(rows_[i]);
      Session& session = at(entry);
      if (name == names.end() || session.is_named) continue;
      session.names = name->second->names;
      session.is_named = name->second->has_sni;
    }
  }
}

void SessionTable::sort_by_flow(const BatchColumns& batch) {
  rows_.resize(batch.packets());
  ends_.assign(batch.flows(), 0);
  for (uint32_t row = 0; row < batch.packets(); row++) ends_[batch.packet_flow[row]]++;
  for (uint32_t flow = 0, start = 0; flow < batch.flows(); flow++) {
    start += ends_[flow];
    ends_[flow] = start - ends_[flow];
  }
  for (uint32_t row = 0; row < batch.packets(); row++) rows_[ends_[batch.packet_flow[row]]++] = row;
}

/** By row: the sequence number of a packet with SYN. */
void SessionTable::find_sequences(const BatchColumns& batch) {
  sequences_.resize(std::max(sequences_.size(), size_t{batch.packets()}));
  for (uint32_t row = 0, syn = 0; row < batch.packets(); row++)
    if ((batch.packet_tcp_flags[row] & flag_syn) != 0) sequences_[row] = batch.syn_sequence[syn++];
}

void SessionTable::hash_flows(const BatchColumns& batch) {
  hashes_.resize(batch.flows());
  for (uint32_t flow = 0; flow < batch.flows(); flow++) {
    const Address local = batch.flow_address[flow * 2], remote = batch.flow_address[flow * 2 + 1];
    const uint64_t local_port = batch.flow_port[flow * 2], remote_port = batch.flow_port[flow * 2 + 1];
    const uint64_t rest = local_port << 32 | remote_port << 16 | batch.flow_protocol[flow];
    const uint64_t one = packet::mix_bits(local.head ^ packet::random_seed(), local.tail);
    hashes_[flow] = static_cast<uint32_t>(packet::mix_bits(one, packet::mix_bits(remote.head ^ rest, remote.tail)));
  }
}

void SessionTable::prefetch_session(uint32_t hash) const {
  const uint32_t entry = slots_[hash & mask_].entry;
  if (entry == none) return;
  const char* session = reinterpret_cast<const char*>(&at(entry));
  for (size_t line = 0; line < 4; line++) __builtin_prefetch(session + line * 64, 1);
}

uint32_t SessionTable::find(const BatchColumns& batch, uint32_t flow) const {
  const uint32_t hash = hashes_[flow];
  for (uint32_t slot = hash & mask_; slots_[slot].entry != none; slot = (slot + 1) & mask_) {
    if (slots_[slot].hash != hash) continue;
    const Session& session = at(slots_[slot].entry);
    if (session.local == batch.flow_address[flow * 2] && session.remote == batch.flow_address[flow * 2 + 1] &&
        session.local_port == batch.flow_port[flow * 2] && session.remote_port == batch.flow_port[flow * 2 + 1] &&
        session.protocol == batch.flow_protocol[flow])
      return slots_[slot].entry;
  }
  return none;
}

/** Counts a packet into the session that its flow has so far, or into a new one; answers with the session's entry. */
uint32_t SessionTable::add_packet(const BatchColumns& batch, double base_us, uint32_t flow, uint32_t row,
                                  uint32_t entry, std::span<const Text> tunnels) {
  const double time_us = base_us + batch.packet_time[row];
  const uint8_t flags = batch.packet_tcp_flags[row];
  const bool from_remote = (batch.packet_direction[row] & bit_from_remote) != 0;
  const uint32_t sequence = (flags & flag_syn) != 0 ? sequences_[row] : 0;
  if (entry != none && is_over(at(entry), time_us, flags, sequence, from_remote)) {
    const Session& session = at(entry);
    const EndReason why = time_us - session.last_us >= idle_us(session) ? EndReason::idle : EndReason::reuse;
    end(entry, session.end_reason == EndReason::none ? why : session.end_reason);
    entry = none;
  }
  if (entry == none) entry = start(batch, flow, time_us, from_remote, tunnels);
  Session& session = at(entry);
  count(session, time_us, batch.packet_ip_length[row], flags, from_remote);
  if (session.protocol == packet::protocol_tcp && (flags & (flag_syn | flag_fin | flag_rst)) != 0)
    follow(session, flags, sequence, from_remote);
  if (session.end_reason != EndReason::none) schedule(entry, session);
  return entry;
}

uint32_t SessionTable::start(const BatchColumns& batch, uint32_t flow, double time_us, bool from_remote,
                             std::span<const Text> tunnels) {
  const uint32_t entry = take_entry();
  Session& session = at(entry);
  session.local = batch.flow_address[flow * 2];
  session.remote = batch.flow_address[flow * 2 + 1];
  session.hash = hashes_[flow];
  session.local_port = batch.flow_port[flow * 2];
  session.remote_port = batch.flow_port[flow * 2 + 1];
  session.protocol = batch.flow_protocol[flow];
  session.vlan = batch.flow_vlan[flow];
  if (batch.flow_tunnel[flow] < tunnels.size()) session.tunnel = tunnels[batch.flow_tunnel[flow]];
  session.first_seen_us = session.first_us = session.last_us = time_us;
  session.first_from_remote = from_remote;
  guess_direction(session);
  session.open_before = last_open_;
  session.open_after = none;
  (last_open_ == none ? first_open_ : at(last_open_).open_after) = entry;
  last_open_ = entry;
  if (++open_ * 2 > slots_.size()) {
    std::vector<Slot> before(slots_.size() * 2);
    before.swap(slots_);
    mask_ = static_cast<uint32_t>(slots_.size() - 1);
    for (const Slot& slot : before)
      if (slot.entry != none) place(slot);
  }
  place({session.hash, entry});
  schedule(entry, session);
  return entry;
}

void SessionTable::end(uint32_t entry, EndReason reason) {
  Session& session = at(entry);
  session.end_reason = reason;
  unschedule(session);
  (session.open_before == none ? first_open_ : at(session.open_before).open_after) = session.open_after;
  (session.open_after == none ? last_open_ : at(session.open_after).open_before) = session.open_before;
  open_--;
  remove_slot(entry, session.hash);
  ended_.push_back(entry);
}

/** What SYN, FIN and RST tell. */
void SessionTable::follow(Session& session, uint8_t flags, uint32_t sequence, bool from_remote) {
  if ((flags & flag_syn) != 0) {
    session.syn[from_remote] = sequence;
    session.is_in = from_remote != ((flags & flag_ack) != 0);
    session.direction_by = DirectionBy::syn;
  }
  if ((flags & flag_fin) != 0) session.finished |= from_remote ? 2 : 1;
  if (session.end_reason != EndReason::none) return;
  if ((flags & flag_rst) != 0) session.end_reason = EndReason::rst;
  else if (session.finished == 3) session.end_reason = EndReason::fin;
}

void SessionTable::advance(double now_us) {
  const int64_t step = step_of(now_us);
  if (step == swept_step_) return;
  swept_step_ = step;
  for (auto place = steps_.begin(); place != steps_.end();) {
    if (place->number >= step) {
      ++place;
      continue;
    }
    step_of_number_.erase(place->number);
    uint32_t entry = place->first;
    while (entry != none) {
      const uint32_t after = at(entry).due_after;
      at(entry).due_step = INT64_MIN;
      look(entry, now_us);
      entry = after;
    }
    place = steps_.erase(place);
  }
}

void SessionTable::look(uint32_t entry, double now_us) {
  Session& session = at(entry);
  if (now_us >= silent_us(session)) {
    end(entry, session.end_reason == EndReason::none ? EndReason::idle : session.end_reason);
    return;
  }
  if (now_us >= record_us(session)) session.published_us = now_us;
  schedule(entry, session);
}

void SessionTable::schedule(uint32_t entry, Session& session) {
  const int64_t number = step_of(std::min(silent_us(session), record_us(session)));
  if (number == session.due_step) return;
  unschedule(session);
  const auto [known, is_new] = step_of_number_.try_emplace(number);
  if (is_new) known->second = steps_.insert(steps_.end(), Step{number});
  Step& step = *known->second;
  session.due_step = number;
  session.due_before = step.last;
  session.due_after = none;
  (step.last == none ? step.first : at(step.last).due_after) = entry;
  step.last = entry;
}

void SessionTable::unschedule(Session& session) {
  const auto known = step_of_number_.find(session.due_step);
  session.due_step = INT64_MIN;
  if (known == step_of_number_.end()) return;
  Step& step = *known->second;
  (session.due_before == none ? step.first : at(session.due_before).due_after) = session.due_after;
  (session.due_after == none ? step.last : at(session.due_after).due_before) = session.due_before;
}

void SessionTable::finish() {
  while (first_open_ != none) {
    const EndReason reason = at(first_open_).end_reason;
    end(first_open_, reason == EndReason::none ? EndReason::shutdown : reason);
  }
}

void SessionTable::forget_ended() {
  free_.insert(free_.end(), ended_.begin(), ended_.end());
  ended_.clear();
}

uint32_t SessionTable::take_entry() {
  if (free_.empty()) {
    if (entries_ == chunks_.size() * chunk_sessions) chunks_.push_back(std::make_unique<Session[]>(chunk_sessions));
    return entries_++;
  }
  const uint32_t entry = free_.back();
  free_.pop_back();
  at(entry) = Session{};
  return entry;
}

void SessionTable::place(Slot slot) {
  uint32_t to = slot.hash & mask_;
  while (slots_[to].entry != none) to = (to + 1) & mask_;
  slots_[to] = slot;
}

void SessionTable::remove_slot(uint32_t entry, uint32_t hash) {
  uint32_t hole = hash & mask_;
  while (slots_[hole].entry != entry) hole = (hole + 1) & mask_;
  // A slot behind the hole moves into it unless its home is behind the hole too: nothing else may come between.
  for (uint32_t slot = (hole + 1) & mask_; slots_[slot].entry != none; slot = (slot + 1) & mask_) {
    const uint32_t from_home = (slot - slots_[slot].hash) & mask_;
    if (from_home < ((slot - hole) & mask_)) continue;
    slots_[hole] = slots_[slot];
    hole = slot;
  }
  slots_[hole] = Slot{};
}

}  // namespace proclabel::session
