#include "windows/etw_tracker.hh"

#include <algorithm>
#include <utility>

namespace proclabel {

int64_t wall_us_of(int64_t ticks, const ClockPair& now) {
  const int64_t ago = now.ticks - ticks;
  const int64_t seconds = ago / now.ticks_per_second;
  return now.wall_us - seconds * 1'000'000 - ago % now.ticks_per_second * 1'000'000 / now.ticks_per_second;
}

void EtwTracker::add(std::vector<EtwEvent>& told, const ClockPair& now) {
  // Each processor has its own buffer; a process must have begun before it is named.
  std::stable_sort(told.begin(), told.end(), [](const EtwEvent& a, const EtwEvent& b) { return a.ticks < b.ticks; });
  for (const EtwEvent& event : told) {
    const int64_t time_us = wall_us_of(event.ticks, now);
    if (event.protocol == Protocol::udp && is_repeated(event, time_us)) continue;
    const bool is_start = event.kind == EventKind::process_start;
    if (!is_start && event.kind != EventKind::process_exit) {
      waiting_.push_back(socket_event(event, time_us));
      continue;
    }
    SocketEvent process_event;
    process_event.kind = event.kind;
    process_event.time_us = time_us;
    process_event.process = is_start ? started(event) : exited(event);
    if (process_event.process != nullptr) waiting_.push_back(std::move(process_event));
  }
}

void EtwTracker::take(int64_t until_us, std::vector<SocketEvent>& events) {
  const auto is_earlier = [](const SocketEvent& a, const SocketEvent& b) { return a.time_us < b.time_us; };
  std::stable_sort(waiting_.begin(), waiting_.end(), is_earlier);
  const auto end = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& event) { return event.time_us > until_us; });
  events.insert(events.end(), std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
}

SocketEvent EtwTracker::socket_event(const EtwEvent& told, int64_t time_us) {
  const bool is_source = source_is_local(told, system_.is_local(told.source.address), system_.is_local(told.destination.address));
  const EtwEnd& local = is_source ? told.source : told.destination;
  const EtwEnd& remote = is_source ? told.destination : told.source;
  SocketEvent event;
  event.kind = told.kind;
  event.time_us = time_us;
  event.process = process_at(told.pid, time_us);
  event.protocol = told.protocol;
  event.has_remote = true;
  event.local = local.address;
  event.local_port = local.port;
  event.remote = remote.address;
  event.remote_port = remote.port;
  return event;
}

/** As the system knows it, while it is there; else as the event tells. */
std::shared_ptr<const Process> EtwTracker::started(const EtwEvent& told) {
  auto process = system_.process(told.pid);
  if (process == nullptr || process->start_us != told.start_us) {
    Process made;
    made.pid = static_cast<int32_t>(told.pid);
    made.start_us = told.start_us;
    made.path = system_.path(told.image);
    made.name = made.path.substr(made.path.find_last_of('\\') + 1);
    made.parent_pid = static_cast<int32_t>(told.parent_pid);
    const auto parent = process_at(told.parent_pid, told.start_us);
    if (parent != nullptr) made.parent_name = parent->name;
    process = std::make_shared<Process>(std::move(made));
  }
  started_[told.pid] = process;
  return process;
}

/** Null for one that nobody has named before. */
std::shared_ptr<const Process> EtwTracker::exited(const EtwEvent& told) {
  exited_.emplace_back(told.pid, told.start_us);
  if (exited_.size() > most_exited) {
    const auto [pid, start_us] = exited_.front();
    exited_.pop_front();
    const auto old = started_.find(pid);
    if (old != started_.end() && old->second->start_us == start_us) started_.erase(old);
  }
  const auto found = started_.find(told.pid);
  if (found != started_.end() && found->second->start_us == told.start_us) return found->second;
  const auto process = system_.process(told.pid);
  return process != nullptr && process->start_us == told.start_us ? process : nullptr;
}

/** Whoever had the pid then. The system tells who has it now, which may be one whose start comes later in the stream. */
std::shared_ptr<const Process> EtwTracker::process_at(uint32_t pid, int64_t time_us) {
  const auto now = system_.process(pid);
  const auto found = started_.find(pid);
  if (found == started_.end()) return now != nullptr && (now->start_us <= time_us || now->start_us < opened_us_) ? now : nullptr;
  const auto& started = found->second;
  if (now == nullptr || now->start_us < started->start_us) return started;
  return now->start_us == started->start_us || now->start_us <= time_us ? now : started;
}

bool EtwTracker::is_repeated(const EtwEvent& told, int64_t time_us) {
  if (time_us - told_since_us_ >= repeat_after_us || time_us < told_since_us_) {
    told_flows_.clear();
    told_since_us_ = time_us;
  }
  std::string key;
  const auto append = [&key](const auto& value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); };
  append(told.kind);
  append(told.pid);
  for (const EtwEnd& end : {told.source, told.destination}) {
    append(end.address);
    append(end.port);
  }
  return !told_flows_.insert(std::move(key)).second;
}

}  // namespace proclabel
