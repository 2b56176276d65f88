#include "linux/process_table.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "linux/descriptor.hh"
#include "linux/proc_text.hh"
#include "linux/process_identity.hh"
#include "linux/system_error.hh"

namespace proclabel {
namespace {

/** The inode of the socket behind a descriptor, 0 for anything else; nothing where there is no such descriptor. */
std::optional<uint32_t> read_descriptor(int process, int fd) {
  char name[32], target[64];
  snprintf(name, sizeof name, "fd/%d", fd);
  const ssize_t length = readlinkat(process, name, target, sizeof target);
  if (length <= 0) return std::nullopt;
  return parse_socket_link(std::string_view(target, length));
}

/** The number that a name of /proc or /proc/PID/fd is; -1 for any other name. */
int to_number(const char* name) {
  int number = -1;
  const char* end = name + strlen(name);
  const auto result = std::from_chars(name, end, number);
  return result.ec == std::errc() && result.ptr == end ? number : -1;
}

}  // namespace

ProcessTable::ProcessTable() : proc_(opendir("/proc")) {
  if (proc_ == nullptr) throw system_error("cannot read /proc", errno);
  struct stat self;
  size_is_count_ = stat("/proc/self/fd", &self) == 0 && self.st_size > 0;
}

ProcessTable::~ProcessTable() { closedir(proc_); }

void ProcessTable::refresh(const LiveSockets& live, bool everybody) {
  constexpr int most_started = 128;
  pass_++;
  // Asked before they are looked at, so that who starts in between shows the next time.
  const auto started = starts_.take();
  if (everybody || !size_is_count_ || !started || started->last - started->first >= most_started) list_processes(live);
  else look_at_known(live, *started);
  std::erase_if(entries_, [this](const auto& item) {
    const Entry& entry = item.second;
    if (entry.seen_in_pass == pass_) return false;
    remove_owner_of_all(entry);
    return true;
  });
}

void ProcessTable::list_processes(const LiveSockets& live) {
  rewinddir(proc_);
  while (const dirent* item = readdir(proc_)) {
    const int pid = item->d_name[0] >= '0' && item->d_name[0] <= '9' ? to_number(item->d_name) : -1;
    if (pid >= 0) look_at(pid, entries_[pid], live);
  }
}

void ProcessTable::look_at_known(const LiveSockets& live, TaskStarts::Range started) {
  for (auto& [pid, entry] : entries_) {
    if (entry.folder_size == 0) entry.seen_in_pass = pass_;
    else look_at(pid, entry, live);
  }
  for (int pid = started.first; pid <= started.last; pid++)
    if (!entries_.contains(pid) && TaskStarts::is_process(pid)) look_at(pid, entries_[pid], live);
}

void ProcessTable::look_at(int pid, Entry& entry, const LiveSockets& live) {
  char folder[32];
  snprintf(folder, sizeof folder, "%d/fd", pid);
  struct stat status;
  if (fstatat(dirfd(proc_), folder, &status, 0) < 0) return;
  entry.seen_in_pass = pass_;
  const bool is_same = entry.folder_inode == status.st_ino;
  if (size_is_count_ && is_same && entry.folder_size == status.st_size) return;
  entry.folder_inode = status.st_ino;
  entry.folder_size = status.st_size;
  read_process(pid, entry, live, is_same ? Look::brief : Look::anew);
}

void ProcessTable::read_unchanged(const LiveSockets& live, std::unordered_set<uint32_t>& wanted, bool again) {
  const auto take_found = [&] { std::erase_if(wanted, [this](uint32_t inode) { return owners_.contains(inode); }); };
  std::vector<std::pair<int, Entry*>> unchanged;
  for (auto& [pid, entry] : entries_)
    if (entry.read_in_pass != pass_ && entry.folder_size != 0 && (again || entry.process != nullptr))
      unchanged.emplace_back(pid, &entry);
  std::sort(unchanged.begin(), unchanged.end(),
            [](const auto& a, const auto& b) { return a.second->opened_in_pass > b.second->opened_in_pass; });
  take_found();
  for (const auto& [pid, entry] : unchanged) {
    if (wanted.empty()) return;
    read_process(pid, *entry, live, again ? Look::listed : Look::brief);
    take_found();
  }
  if (wanted.empty()) return;
  for (auto& [pid, entry] : entries_)
    if (entry.folder_size == 0) look_at(pid, entry, live);
  take_found();
}

void ProcessTable::read_next_in_turn(const LiveSockets& live) {
  constexpr size_t descriptors_at_once = 64, process_costs = 8;
  std::vector<int> pids;
  for (const auto& [pid, entry] : entries_) pids.push_back(pid);
  if (pids.empty()) return;
  std::sort(pids.begin(), pids.end());
  auto next = std::upper_bound(pids.begin(), pids.end(), turn_);
  for (size_t read = 0, done = 0; read < descriptors_at_once && done < pids.size(); done++, next++) {
    if (next == pids.end()) next = pids.begin();
    turn_ = *next;
    Entry& entry = entries_[turn_];
    if (size_is_count_ && entry.folder_size == 0) continue;  // A thread of the kernel.
    read_process(turn_, entry, live, Look::listed);
    read += entry.descriptors.size() + process_costs;
  }
}

const Owners* ProcessTable::owners(uint32_t inode) const {
  const auto found = owners_.find(inode);
  return found == owners_.end() ? nullptr : &found->second;
}

void ProcessTable::read_process(int pid, Entry& entry, const LiveSockets& live, Look look) {
  entry.read_in_pass = pass_;
  char name[16];
  snprintf(name, sizeof name, "%d", pid);
  // Held open, the folder stays that of this process: reading in it fails once the process has ended.
  const proclabel::Descriptor process(openat(dirfd(proc_), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (look != Look::brief || !guess_descriptors(process, entry, live)) list_descriptors(process, entry, live, look);
  if (look == Look::brief && fresh_ == entry.descriptors) return;
  const bool holds_sockets =
      std::any_of(fresh_.begin(), fresh_.end(), [](const Descriptor& descriptor) { return descriptor.inode != 0; });
  take_fresh(entry, holds_sockets ? identify(pid, process, entry, look) : nullptr);
}

std::shared_ptr<const Process> ProcessTable::identify(int pid, int process, Entry& entry, Look look) {
  const auto program = running_program(process);
  if (look == Look::brief && entry.process != nullptr && program && program == entry.program) return entry.process;
  entry.program = program;
  std::shared_ptr<const Process> now = proclabel::read_process(pid, process);
  const bool is_same = now != nullptr && entry.process != nullptr && *now == *entry.process;
  return is_same ? entry.process : now;
}

void ProcessTable::list_descriptors(int process, Entry& entry, const LiveSockets& live, Look look) {
  fresh_.clear();
  const int list = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* items = list < 0 ? nullptr : fdopendir(list);
  if (items == nullptr) {
    if (list >= 0) close(list);
    return;
  }
  auto known = entry.descriptors.cbegin();
  while (const dirent* item = readdir(items)) {
    const int fd = to_number(item->d_name);
    if (fd < 0) continue;
    while (known != entry.descriptors.cend() && known->fd < fd) known++;
    const bool is_known = known != entry.descriptors.cend() && known->fd == fd;
    if (look != Look::anew && is_known && holds_still(*known, live)) fresh_.push_back(*known);
    else if (const auto inode = read_descriptor(process, fd)) fresh_.push_back({fd, *inode});
  }
  struct stat status;
  if (fstat(list, &status) == 0 && status.st_size == entry.folder_size)
    entry.reserved = std::max<int64_t>(0, entry.folder_size - static_cast<int64_t>(fresh_.size()));
  closedir(items);
}

bool ProcessTable::guess_descriptors(int process, const Entry& entry, const LiveSockets& live) {
  constexpr int misses_for_more = 2, misses_for_missing = 8;
  if (!size_is_count_) return false;
  const size_t count = entry.folder_size;
  const auto& known = entry.descriptors;
  fresh_.clear();
  for (const Descriptor& descriptor : known) {
    if (holds_still(descriptor, live)) fresh_.push_back(descriptor);
    else if (const auto inode = read_descriptor(process, descriptor.fd)) fresh_.push_back({descriptor.fd, *inode});
  }
  const size_t kept = fresh_.size();
  const auto is_enough = [&] { return fresh_.size() + entry.reserved >= count; };
  const auto may_miss = [&] { return entry.reserved + (is_enough() ? misses_for_more : misses_for_missing); };
  // The kernel gives a new one the lowest number that is free.
  auto next = known.begin();
  for (int fd = 0, misses = 0; fresh_.size() < count && misses < may_miss(); fd++) {
    if (next != known.end() && next->fd == fd) next++;
    else if (const auto inode = read_descriptor(process, fd)) fresh_.push_back({fd, *inode});
    else misses++;
  }
  std::inplace_merge(fresh_.begin(), fresh_.begin() + kept, fresh_.end(),
                     [](const Descriptor& a, const Descriptor& b) { return a.fd < b.fd; });
  return fresh_.size() <= count && is_enough();
}

bool ProcessTable::holds_still(const Descriptor& descriptor, const LiveSockets& live) const {
  if (!live.contains(descriptor.inode)) return false;
  const Owners* holders = owners(descriptor.inode);
  return holders != nullptr && holders->size() == 1;
}

void ProcessTable::take_fresh(Entry& entry, std::shared_ptr<const Process> process) {
  if (process != entry.process) {
    remove_owner_of_all(entry);
    entry.process = std::move(process);
    std::swap(entry.descriptors, fresh_);
    for (const Descriptor& descriptor : entry.descriptors) add_owner(descriptor.inode, entry);
    return;
  }
  // A busy server has thousands of descriptors, of which few changed.
  std::vector<uint32_t> gone;
  auto old = entry.descriptors.cbegin();
  for (const Descriptor& now : fresh_) {
    for (; old != entry.descriptors.cend() && old->fd < now.fd; old++) gone.push_back(old->inode);
    if (old != entry.descriptors.cend() && old->fd == now.fd) {
      if (old->inode == now.inode) {
        old++;
        continue;
      }
      gone.push_back(old->inode);
      old++;
    }
    add_owner(now.inode, entry);
  }
  for (; old != entry.descriptors.cend(); old++) gone.push_back(old->inode);
  std::swap(entry.descriptors, fresh_);
  if (gone.empty()) return;
  // A process may hold a socket through several descriptors: it is an owner until the last of them is gone.
  std::sort(gone.begin(), gone.end());
  std::unordered_set<uint32_t> kept;
  for (const Descriptor& now : entry.descriptors) {
    if (std::binary_search(gone.begin(), gone.end(), now.inode)) kept.insert(now.inode);
  }
  for (const uint32_t inode : gone) {
    if (!kept.contains(inode)) remove_owner(inode, entry.process);
  }
}

void ProcessTable::add_owner(uint32_t inode, Entry& entry) {
  if (inode == 0 || entry.process == nullptr) return;
  Owners& owners = owners_[inode];
  const auto place = std::lower_bound(owners.begin(), owners.end(), entry.process,
                                      [](const auto& a, const auto& b) { return a->pid < b->pid; });
  if (place != owners.end() && *place == entry.process) return;
  owners.insert(place, entry.process);
  changed_.push_back(inode);
  entry.opened_in_pass = pass_;
}

void ProcessTable::remove_owner(uint32_t inode, const std::shared_ptr<const Process>& process) {
  const auto found = inode == 0 ? owners_.end() : owners_.find(inode);
  if (found == owners_.end()) return;
  std::erase(found->second, process);
  if (found->second.empty()) owners_.erase(found);
  changed_.push_back(inode);
}

void ProcessTable::remove_owner_of_all(const Entry& entry) {
  for (const Descriptor& descriptor : entry.descriptors) remove_owner(descriptor.inode, entry.process);
}

}  // namespace proclabel
