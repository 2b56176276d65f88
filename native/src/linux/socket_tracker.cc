#include "linux/socket_tracker.hh"

#include <algorithm>
#include <string_view>
#include <utility>

#include "linux/address_kind.hh"
#include "linux/process_identity.hh"

namespace proclabel {

size_t SocketTracker::EndsHash::operator()(const Ends& ends) const {
  const auto bytes = [](const Address& address) {
    return std::string_view(reinterpret_cast<const char*>(address.data()), address.size());
  };
  const std::hash<std::string_view> hash;
  return hash(bytes(ends.local)) * 31 + hash(bytes(ends.remote)) * 17 + (size_t{ends.local_port} << 16 | ends.remote_port);
}

void SocketTracker::apply(const std::vector<KernelEvent>& told, bool lossy, int64_t wall_offset_ns,
                          std::vector<SocketEvent>& events) {
  lossy_ = lossy;
  wall_offset_ns_ = wall_offset_ns;
  events_ = &events;
  if (lossy) {
    tracked_.clear();
    sightings_.clear();
    processes_.doubt();
  }
  for (const KernelEvent& one : told) {
    switch (one.kind) {
      case KernelEvent::Kind::tcp_state: apply_state(one); break;
      case KernelEvent::Kind::tcp_use: use(one); break;
      case KernelEvent::Kind::udp_send:
      case KernelEvent::Kind::udp_receive: see_datagram(one); break;
      case KernelEvent::Kind::fork: start_process(one); break;
      case KernelEvent::Kind::exec: processes_.exec(one.pid, one.text); break;
      case KernelEvent::Kind::exit: end_process(one); break;
      case KernelEvent::Kind::move: processes_.move(one.pid); break;
    }
  }
  // Joined over a hole, a socket's address may be that of another socket by then.
  if (lossy) {
    tracked_.clear();
    processes_.doubt();
  }
  if (tracked_.size() > max_tracked) tracked_.clear();
  if (sightings_.size() > max_sightings) sightings_.clear();
}

void SocketTracker::forget() {
  tracked_ = {};
  sightings_ = {};
  processes_.forget_ended();
}

void SocketTracker::apply_state(const KernelEvent& told) {
  if (others_ == nullptr && told.namespace_inode != 0 && namespace_inode_ != 0 && told.namespace_inode != namespace_inode_) return;
  if (told.from == TcpState::close && told.to == TcpState::syn_sent) {
    if (is_elsewhere(told)) tracked_.erase(told.socket);
    else tracked_[told.socket] = {Tracked::Phase::connecting, told.time_ns, owner_of(told)};
  } else if (told.to == TcpState::listen) {
    if (told.local_port != 0 && !is_elsewhere(told)) tell(EventKind::listen, told, told.time_ns, owner_of(told));
  } else if (told.to == TcpState::established) {
    establish(told);
  } else if (told.to == TcpState::close) {
    close(told);
  } else if (told.to == TcpState::fin_wait_1 || told.to == TcpState::last_ack) {
    use(told);
  }
}

void SocketTracker::establish(const KernelEvent& told) {
  const auto found = tracked_.find(told.socket);
  if (found != tracked_.end() && found->second.phase == Tracked::Phase::connecting) {
    Tracked& tracked = found->second;
    tracked.phase = Tracked::Phase::connected;
    tell(EventKind::connect, told, tracked.time_ns, tracked.owner);
    return;
  }
  // A connect that was not seen to begin: polls tell whose it is.
  if (told.from != TcpState::syn_recv) return;
  tracked_[told.socket] = {Tracked::Phase::accepted, told.time_ns, nullptr};
  tell(EventKind::accept, told, told.time_ns, nullptr);
}

void SocketTracker::close(const KernelEvent& told) {
  if (told.from == TcpState::listen) {
    tell(EventKind::close, told, told.time_ns, nullptr);
    return;
  }
  const auto found = tracked_.find(told.socket);
  if (found != tracked_.end()) {
    Tracked& tracked = found->second;
    if (tracked.phase == Tracked::Phase::connecting) tell(EventKind::connect, told, tracked.time_ns, tracked.owner);
    if (!told.in_interrupt) give_to_user(told, tracked);
    tracked_.erase(found);
  }
  if (told.remote_port != 0) tell(EventKind::close, told, told.time_ns, nullptr);
}

void SocketTracker::use(const KernelEvent& told) {
  const auto found = tracked_.find(told.socket);
  if (found != tracked_.end()) give_to_user(told, found->second);
}

void SocketTracker::give_to_user(const KernelEvent& told, Tracked& tracked) {
  if (tracked.phase != Tracked::Phase::accepted || tracked.owner != nullptr || is_elsewhere(told)) return;
  tracked.owner = owner_of(told);
  if (tracked.owner != nullptr) tell(EventKind::accept, told, tracked.time_ns, tracked.owner);
}

void SocketTracker::see_datagram(const KernelEvent& told) {
  if (told.local_port == 0 || is_elsewhere(told)) return;
  KernelEvent seen = told;
  if (is_unspecified(seen.remote)) {
    seen.remote = {};
    seen.remote_port = 0;
  }
  // A socket that is bound to no address may have thousands of remote ends: one of them is told with each sighting.
  Ends ends{seen.local, {}, seen.local_port, 0};
  if (!is_unspecified(seen.local)) ends = {seen.local, seen.remote, seen.local_port, seen.remote_port};
  auto owner = owner_of(told);
  Sighting& last = sightings_[ends];
  if (last.time_ns != 0 && last.owner == owner.get() && seen.time_ns - last.time_ns < sighting_again_ns) return;
  last = {seen.time_ns, owner.get()};
  tell(seen.kind == KernelEvent::Kind::udp_send ? EventKind::send : EventKind::receive, seen, seen.time_ns, std::move(owner));
}

void SocketTracker::start_process(const KernelEvent& told) {
  const bool is_exact = told.start_ns != 0;
  const int64_t start_us = is_exact ? start_us_of_ns(told.start_ns) : start_us_of_monotonic_ns(told.time_ns);
  processes_.fork(told.pid, told.child, start_us, is_exact);
  if (told.in_new_namespace) processes_.move(told.child);
  // The end of the one that had this id was lost.
  if (told_.erase(told.child) > 0) tell_process(EventKind::process_start, told, processes_.find(told.child));
}

void SocketTracker::end_process(const KernelEvent& told) {
  processes_.exit(told.pid);
  const auto found = told_.find(told.pid);
  if (found == told_.end()) return;
  tell_process(EventKind::process_exit, told, std::move(found->second));
  told_.erase(found);
}

void SocketTracker::tell_process(EventKind kind, const KernelEvent& told, std::shared_ptr<const Process> process) {
  if (process == nullptr) return;
  SocketEvent event;
  event.kind = kind;
  event.time_us = (told.time_ns + wall_offset_ns_) / 1000;
  event.process = std::move(process);
  events_->push_back(std::move(event));
}

std::shared_ptr<const Process> SocketTracker::owner_of(const KernelEvent& told) {
  const int64_t start_us = told.start_ns == 0 ? 0 : start_us_of_ns(told.start_ns);
  // Without the start time, an end and a new process of the same id may be among what was lost.
  if (lossy_ && start_us == 0) return nullptr;
  // Whose sockets may be of another namespace, with addresses like ours, is told of without a name.
  if (namespace_inode_ != 0 && told.namespace_inode == 0 && processes_.namespace_of(told.pid) == 0) return nullptr;
  return processes_.find(told.pid, start_us, told.text);
}

bool SocketTracker::is_elsewhere(const KernelEvent& told) {
  if (others_ != nullptr) return false;
  const uint64_t inode = namespace_of(told, told.pid);
  return inode != 0 && inode != namespace_inode_;
}

/** 0 while not known. Sockets whose namespace the tracepoint does not tell are of their process's. */
uint64_t SocketTracker::namespace_of(const KernelEvent& told, int32_t pid) {
  if (namespace_inode_ == 0 || told.namespace_inode != 0) return told.namespace_inode;
  return processes_.namespace_of(pid);
}

void SocketTracker::tell(EventKind kind, const KernelEvent& told, int64_t time_ns, std::shared_ptr<const Process> owner) {
  if (owner != nullptr) told_[owner->pid] = owner;
  SocketEvent event;
  event.kind = kind;
  const bool is_tcp = told.kind == KernelEvent::Kind::tcp_state || told.kind == KernelEvent::Kind::tcp_use;
  event.protocol = is_tcp ? Protocol::tcp : Protocol::udp;
  event.has_remote = kind != EventKind::listen && told.remote_port != 0;
  event.time_us = (time_ns + wall_offset_ns_) / 1000;
  event.process = std::move(owner);
  event.local_port = told.local_port;
  event.remote_port = told.remote_port;
  event.local = told.local;
  event.remote = told.remote;
  const int32_t pid = event.process != nullptr ? event.process->pid : told.in_interrupt ? 0 : told.pid;
  const uint64_t inode = namespace_of(told, pid);
  if (inode == 0 || inode == namespace_inode_) events_->push_back(std::move(event));
  else if (others_ != nullptr) tell_elsewhere(std::move(event), inode, pid);
}

void SocketTracker::tell_elsewhere(SocketEvent event, uint64_t inode, int32_t pid) {
  const auto lock = others_->lock();
  const auto& addresses = others_->addresses_of(inode, pid);
  if (is_loopback(event.local) || is_loopback(event.remote)) return;
  if (!is_unspecified(event.local)) {
    events_->push_back(std::move(event));
    return;
  }
  // A socket on :: mostly takes IPv4 too.
  const bool takes_all = !event.has_remote && !is_v4(event.local);
  const bool is_of_v4 = is_v4(event.has_remote ? event.remote : event.local);
  for (const Address& address : addresses) {
    if (!takes_all && is_v4(address) != is_of_v4) continue;
    event.local = address;
    events_->push_back(event);
  }
}

}  // namespace proclabel
