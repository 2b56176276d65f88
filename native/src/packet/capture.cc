#include "packet/capture.hh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "packet/name_filter.hh"

namespace proclabel::packet {

namespace {

// As in services/capture/capture.ts.
constexpr double flow_idle_us = 60'000'000;
constexpr size_t min_flows_before_expiry = 65'536;
constexpr size_t max_flows = 524'288;
constexpr double tick_every_us = 1'000'000;
/** As in services/core/host-directory.ts. */
constexpr size_t max_network_hosts = 4096;
// As in services/core/session-table.ts.
constexpr double tcp_idle_us = 300'000'000;
constexpr double other_idle_us = 60'000'000;

constexpr uint32_t bit_from_low = 1;
constexpr uint32_t bit_take_over = 2;
constexpr uint32_t bit_known_low = 4;
constexpr uint32_t bit_known_high = 8;

constexpr uint32_t bit_decided = 1;

}  // namespace

Capture::Capture(const CaptureOptions& options)
    : keep_unmonitored_(options.keep_unmonitored),
      expire_at_size_(min_flows_before_expiry),
      ticked_us_(-std::numeric_limits<double>::infinity()) {
  if (options.snap_length > 0) host_frames_.emplace(options.snap_length);
  if (options.duplicate_window_us >= 0) duplicates_.emplace(options.duplicate_window_us);
}

void Capture::set_hosts(HostTable hosts) {
  hosts_ = std::move(hosts);
  const double now_us = std::isnan(clock_.now_us()) ? 0 : clock_.now_us();
  // Numbers are given in the order in which hosts become known.
  const double known_us = has_begun_ ? now_us : -std::numeric_limits<double>::infinity();
  known_us_.resize(std::max(known_us_.size(), static_cast<size_t>(hosts_.end())), known_us);
  flows_.for_each([&](Flow& flow) { flow.in_midst |= route(flow, now_us); });
}

void Capture::settle(std::span<const SettledFlow> flows) {
  for (const SettledFlow& settled : flows) {
    Flow* flow = flows_.living(settled.flow);
    if (flow == nullptr) continue;
    NameState& names = flow->names;
    names.looked = settled.looked;
    names.next[0] = settled.next_low;
    names.next[1] = settled.next_high;
    names.known[0] = (settled.flags & bit_known_low) != 0;
    names.known[1] = (settled.flags & bit_known_high) != 0;
    names.decided = (settled.flags & bit_decided) != 0;
    names.with_caller = false;
  }
}

Captured& Capture::add(const FrameBlock& block) {
  begin_answer();
  has_begun_ = true;
  const size_t count = block.time_us.size();
  for (size_t first = 0; first < count; first += group_size) {
    const size_t size = std::min(group_size, count - first);
    decode_group(block, first, size);
    count_group(block, first, size);
  }
  if (flows_.size() > expire_at_size_) expire();
  const double now_us = clock_.now_us();
  if (std::abs(now_us - ticked_us_) >= tick_every_us) {
    ticked_us_ = now_us;
    answer_.ticked = true;
    close_all();
  }
  return answer_;
}

Captured& Capture::tick(double now_us) {
  clock_.observe(now_us);
  return flush();
}

Captured& Capture::flush() {
  begin_answer();
  close_all();
  return answer_;
}

void Capture::decode_group(const FrameBlock& block, size_t first, size_t count) {
  released_.clear();
  size_t compared = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t frame = first + i;
    Decoded& decoded = group_[i];
    Packet& packet = decoded.packet;
    packet.time_us = block.time_us[frame];
    packet.wire_length = static_cast<uint32_t>(block.wire_length[frame]);
    const Slice bytes =
        block.data.part(static_cast<uint32_t>(block.offset[frame]), static_cast<uint32_t>(block.captured[frame]));
    decoded.reason = decoder_.decode(bytes, block.link_type[frame], packet, released_);
    decoded.released_end = released_.size();
    decoded.is_repeated = false;
    const bool is_held = decoded.reason == Reason::fragment_held;
    if (decoded.reason != Reason::ok && !is_held) continue;
    if (duplicates_) {
      decoded.fingerprint = fingerprint_of(bytes.part(packet.ip_offset, packet.ip_length));
      duplicates_->prefetch(decoded.fingerprint);
    }
    if (is_held) {
      // Whether it is a copy decides whether it stays held, and may be asked only in the order of the frames.
      while (compared <= i) find_copy(group_[compared++]);
      continue;
    }
    decoded.key = FlowKey(packet);
    flows_.prefetch_slot(decoded.key);
  }
  while (compared < count) find_copy(group_[compared++]);
  for (size_t i = 0; i < count; i++)
    if (group_[i].reason == Reason::ok) flows_.prefetch_flow(group_[i].key);
}

void Capture::find_copy(Decoded& decoded) {
  const bool is_held = decoded.reason == Reason::fragment_held;
  if (!duplicates_ || (decoded.reason != Reason::ok && !is_held)) return;
  decoded.is_repeated = duplicates_->is_repeated(decoded.fingerprint, decoded.packet.time_us);
  if (decoded.is_repeated && is_held) decoder_.forget_held();
}

void Capture::count_group(const FrameBlock& block, size_t first, size_t size) {
  size_t released = 0;
  for (size_t i = 0; i < size; i++) {
    const Decoded& decoded = group_[i];
    clock_.observe(decoded.packet.time_us);
    for (; released < decoded.released_end; released++)
      count(released_[released], FlowKey(released_[released]), nullptr, 0);
    if (decoded.reason == Reason::fragment_held && !decoded.is_repeated && host_frames_) {
      const Packet& held = decoded.packet;
      keep_frame(block, first + i, host_at(held.source, held.time_us), host_at(held.destination, held.time_us));
    }
    if (decoded.reason == Reason::unsupported_link_type) unsupported_link_types_.set(block.link_type[first + i]);
    frames_[take(decoded, block, first + i)]++;
  }
}

size_t Capture::take(const Decoded& decoded, const FrameBlock& block, size_t frame) {
  if (decoded.is_repeated) return duplicate;
  if (decoded.reason != Reason::ok) return static_cast<size_t>(decoded.reason);
  return count(decoded.packet, decoded.key, &block, frame) ? static_cast<size_t>(Reason::ok) : not_monitored;
}

bool Capture::count(const Packet& packet, const FlowKey& key, const FrameBlock* block, size_t frame) {
  const FlowTable::Found found = flows_.find(key, packet.time_us);
  Flow& flow = flows_[found.number];
  if (found.is_new) route(flow, packet.time_us);
  const int32_t low_batch = flow.low_route.batch;
  const int32_t high_batch = flow.high_route.batch;
  if (low_batch < 0 && high_batch < 0) return false;
  const bool are_peers = low_batch >= 0 && high_batch >= 0 && began_together(flow, packet, found);
  const auto peer = [&](int32_t batch) { return are_peers ? batches_[batch].host : BatchBuilder::no_peer; };
  const BatchRow low = append(flow.low_route, flow, true, packet, !key.from_low, peer(high_batch));
  const BatchRow high = append(flow.high_route, flow, false, packet, key.from_low, peer(low_batch));
  if (block != nullptr && host_frames_) keep_frame(*block, frame, low.host, high.host);
  if (block != nullptr && !flow.names.decided)
    look_for_name(packet, found.number, key.from_low, *block, frame, low, high);
  return true;
}

bool Capture::began_together(Flow& flow, const Packet& packet, const FlowTable::Found& found) const {
  if (!found.is_new && !flow.in_midst) return true;
  const auto known_us = [this](const Route& route) {
    const int32_t host = batches_[route.batch].host;
    const bool is_of_network = host % 2 != 0;
    return is_of_network ? -std::numeric_limits<double>::infinity() : known_us_[host];
  };
  const double since_us = found.is_new ? std::max(known_us(flow.low_route), known_us(flow.high_route)) : found.before_us;
  const bool is_tcp = packet.protocol == protocol_tcp;
  const bool opens = found.is_new && is_tcp && (packet.tcp_flags & (flag_syn | flag_ack)) == flag_syn;
  const bool began = opens || packet.time_us - since_us >= (is_tcp ? tcp_idle_us : other_idle_us);
  if (began && flow.in_midst) flow.low_route.generation = flow.high_route.generation = Route::never;
  flow.in_midst = !began;
  return began;
}

BatchRow Capture::append(Route& route, const Flow& flow, bool is_low, const Packet& packet, bool from_remote,
                         int32_t peer) {
  if (route.batch < 0) return {route.batch};
  HostBatch& batch = batches_[route.batch];
  BatchBuilder& builder = batch.builder;
  if (!builder.accepts(packet.time_us)) close(batch);
  if (route.generation != batch.generation) {
    route.generation = batch.generation;
    route.index = is_low ? builder.add_flow(flow.low, flow.high, flow.low_port, flow.high_port, packet, peer)
                         : builder.add_flow(flow.high, flow.low, flow.high_port, flow.low_port, packet, peer);
  }
  const uint32_t row = builder.packets();
  builder.add_packet(route.index, packet, from_remote);
  return {batch.host, batch.generation, row};
}

void Capture::keep_frame(const FrameBlock& block, size_t frame, int32_t low_host, int32_t high_host) {
  const Slice bytes =
      block.data.part(static_cast<uint32_t>(block.offset[frame]), static_cast<uint32_t>(block.captured[frame]));
  const auto keep = [&](int32_t host) {
    if (host > unmonitored_host)
      host_frames_->add(host, block.link_type[frame], block.time_us[frame], bytes,
                        static_cast<uint32_t>(block.wire_length[frame]), answer_.frames);
  };
  keep(low_host);
  if (high_host != low_host) keep(high_host);
}

void Capture::look_for_name(const Packet& packet, uint32_t number, bool from_low, const FrameBlock& block, size_t frame,
                            const BatchRow& low, const BatchRow& high) {
  NameState& names = flows_[number].names;
  const auto payload_offset = static_cast<uint32_t>(block.offset[frame]) + packet.payload_offset;
  if (!wants_name(names, packet, block.data.part(payload_offset, packet.payload_captured), from_low)) return;
  const uint32_t flags = (from_low ? bit_from_low : 0) | (names.with_caller ? 0 : bit_take_over) |
                         (names.known[0] ? bit_known_low : 0) | (names.known[1] ? bit_known_high : 0);
  names.with_caller = true;
  names.told = true;
  answer_.candidates.push_back({
      .flow = number,
      .flags = flags,
      .looked = names.looked,
      .next_low = names.next[0],
      .next_high = names.next[1],
      .frame = static_cast<uint32_t>(frame),
      .protocol = packet.protocol,
      .source_port = packet.source_port,
      .destination_port = packet.destination_port,
      .tcp_flags = packet.tcp_flags,
      .tcp_sequence = packet.tcp_sequence,
      .payload_offset = payload_offset,
      .payload_length = packet.payload_length,
      .payload_captured = packet.payload_captured,
      .low = low,
      .high = high,
  });
}

bool Capture::route(Flow& flow, double time_us) {
  const int32_t low_host = host_at(flow.low, time_us);
  const int32_t high_host = host_at(flow.high, time_us);
  int32_t low_batch = Route::nobody;
  if (low_host != HostTable::nobody) low_batch = batch_of(low_host);
  else if (high_host == HostTable::nobody && keep_unmonitored_) low_batch = batch_of(unmonitored_host);
  int32_t high_batch = Route::nobody;
  if (high_host == low_host) high_batch = Route::with_low;
  else if (high_host != HostTable::nobody) high_batch = batch_of(high_host);
  if (low_batch == flow.low_route.batch && high_batch == flow.high_route.batch) return false;
  flow.low_route = {low_batch, Route::never, 0};
  flow.high_route = {high_batch, Route::never, 0};
  return true;
}

int32_t Capture::host_at(const Address& address, double time_us) {
  if (hosts_.knows(address)) return hosts_.host_of(address, time_us);
  if (!hosts_.is_in_network(address)) return HostTable::nobody;
  const auto known = network_hosts_.find(address);
  if (known != network_hosts_.end()) return known->second;
  if (network_hosts_.size() == max_network_hosts) return HostTable::nobody;
  const auto number = static_cast<int32_t>(network_hosts_.size() * 2 + 1);
  network_hosts_.emplace(address, number);
  answer_.network_hosts.push_back(address);
  return number;
}

int32_t Capture::batch_of(int32_t host) {
  const auto number = static_cast<size_t>(host);
  if (number >= batch_of_host_.size()) batch_of_host_.resize(number + 1, -1);
  if (batch_of_host_[number] < 0) {
    batch_of_host_[number] = static_cast<int32_t>(batches_.size());
    batches_.push_back({host, 0, {}});
  }
  return batch_of_host_[number];
}

void Capture::close(HostBatch& batch) {
  const double until_us = std::isnan(clock_.now_us()) ? 0 : clock_.now_us();
  answer_.batches.push_back({batch.host, batch.generation++, until_us, batch.builder.build()});
}

void Capture::close_all() {
  for (HostBatch& batch : batches_) close(batch);
  if (host_frames_) host_frames_->flush(answer_.frames);
}

void Capture::expire() {
  const auto forget = [this](uint32_t number, const Flow& flow) {
    if (flow.names.told) answer_.forgotten.push_back(number);
  };
  flows_.expire(clock_.now_us() - flow_idle_us, forget);
  if (flows_.size() > max_flows) flows_.expire(std::numeric_limits<double>::max(), forget);
  expire_at_size_ = std::min(std::max(min_flows_before_expiry, flows_.size() * 2), max_flows);
}

void Capture::begin_answer() {
  answer_.batches.clear();
  answer_.frames.clear();
  answer_.candidates.clear();
  answer_.forgotten.clear();
  answer_.ticked = false;
}

}  // namespace proclabel::packet
