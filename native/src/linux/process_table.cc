#include "linux/process_table.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "linux/proc_text.hh"
#include "linux/process_identity.hh"
#include "linux/system_error.hh"

namespace proclabel {
namespace {

class Folder {
 public:
  Folder(int parent, const char* name) : fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
  ~Folder() {
    if (fd >= 0) close(fd);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const int fd;
};

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

void ProcessTable::refresh(const LiveSockets& live) {
  pass_++;
  rewinddir(proc_);
  while (const dirent* item = readdir(proc_)) {
    const int pid = item->d_name[0] >= '0' && item->d_name[0] <= '9' ? to_number(item->d_name) : -1;
    if (pid < 0) continue;
    char folder[32];
    snprintf(folder, sizeof folder, "%d/fd", pid);
    struct stat status;
    if (fstatat(dirfd(proc_), folder, &status, 0) < 0) continue;
    Entry& entry = entries_[pid];
    entry.seen_in_pass = pass_;
    if (size_is_count_ && entry.folder_inode == status.st_ino && entry.folder_size == status.st_size) continue;
    const bool same_process = entry.folder_inode == status.st_ino;
    entry.folder_inode = status.st_ino;
    entry.folder_size = status.st_size;
    read_process(pid, entry, same_process ? &live : nullptr);
  }
  std::erase_if(entries_, [this](const auto& item) {
    const Entry& entry = item.second;
    if (entry.seen_in_pass == pass_) return false;
    remove_owner_of_all(entry);
    return true;
  });
}

void ProcessTable::read_unchanged(const LiveSockets& live, std::unordered_set<uint32_t>& wanted,
                                  bool everybody) {
  const auto take_found = [&] { std::erase_if(wanted, [this](uint32_t inode) { return owners_.contains(inode); }); };
  take_found();
  for (auto& [pid, entry] : entries_) {
    if (wanted.empty()) return;
    if (entry.read_in_pass == pass_ || (!everybody && entry.process == nullptr)) continue;
    read_process(pid, entry, &live);
    take_found();
  }
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
    read_process(turn_, entry, &live);
    read += entry.descriptors.size() + process_costs;
  }
}

const Owners* ProcessTable::owners(uint32_t inode) const {
  const auto found = owners_.find(inode);
  return found == owners_.end() ? nullptr : &found->second;
}

void ProcessTable::read_process(int pid, Entry& entry, const LiveSockets* live) {
  entry.read_in_pass = pass_;
  char name[16];
  snprintf(name, sizeof name, "%d", pid);
  // Held open, the folder stays that of this process: reading in it fails once the process has ended.
  const Folder process(dirfd(proc_), name);
  const int list = openat(process.fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* items = list < 0 ? nullptr : fdopendir(list);
  fresh_.clear();
  if (items != nullptr) {
    auto known = entry.descriptors.cbegin();
    while (const dirent* item = readdir(items)) {
      const int fd = to_number(item->d_name);
      if (fd < 0) continue;
      while (known != entry.descriptors.cend() && known->fd < fd) known++;
      const bool is_known = known != entry.descriptors.cend() && known->fd == fd;
      if (is_known && live != nullptr && live->contains(known->inode)) {
        fresh_.push_back(*known);
        continue;
      }
      char target[64];
      const ssize_t length = readlinkat(dirfd(items), item->d_name, target, sizeof target);
      if (length > 0) fresh_.push_back({fd, parse_socket_link(std::string_view(target, length))});
    }
    closedir(items);
  } else if (list >= 0) {
    close(list);
  }
  const bool holds_sockets =
      std::any_of(fresh_.begin(), fresh_.end(), [](const Descriptor& descriptor) { return descriptor.inode != 0; });
  std::shared_ptr<const Process> identity = holds_sockets ? proclabel::read_process(pid, process.fd) : nullptr;
  if (identity != nullptr && entry.process != nullptr && *identity == *entry.process) identity = entry.process;
  take_fresh(entry, std::move(identity));
}

void ProcessTable::take_fresh(Entry& entry, std::shared_ptr<const Process> process) {
  if (process != entry.process) {
    remove_owner_of_all(entry);
    entry.process = std::move(process);
    std::swap(entry.descriptors, fresh_);
    for (const Descriptor& descriptor : entry.descriptors) add_owner(descriptor.inode, entry.process);
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
    add_owner(now.inode, entry.process);
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

void ProcessTable::add_owner(uint32_t inode, const std::shared_ptr<const Process>& process) {
  if (inode == 0 || process == nullptr) return;
  Owners& owners = owners_[inode];
  const auto place = std::lower_bound(owners.begin(), owners.end(), process,
                                      [](const auto& a, const auto& b) { return a->pid < b->pid; });
  if (place != owners.end() && *place == process) return;
  owners.insert(place, process);
  changed_.push_back(inode);
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
