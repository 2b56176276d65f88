#include "linux/network_namespaces.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "linux/address_kind.hh"
#include "linux/kernel_version.hh"
#include "linux/process_identity.hh"

namespace proclabel {
namespace {

/** Calls `action` on a thread that is in the namespace behind `fd`; false where that is not allowed. Ours stays what it is. */
template <typename Action>
bool run_inside(int fd, Action action) {
  bool is_inside = false;
  std::thread([&] {
    is_inside = setns(fd, CLONE_NEWNET) == 0;
    if (is_inside) action();
  }).join();
  return is_inside;
}

/** The number in `net:[4026531840]`; 0 for anything else. */
uint64_t parse_namespace_link(std::string_view link) {
  constexpr std::string_view prefix = "net:[";
  uint64_t inode = 0;
  if (link.starts_with(prefix)) std::from_chars(link.data() + prefix.size(), link.data() + link.size(), inode);
  return inode;
}

/** Inode of every process's namespace, with one of its processes. */
std::unordered_map<uint64_t, int32_t> namespaces_of_processes() {
  std::unordered_map<uint64_t, int32_t> found;
  DIR* folder = opendir("/proc");
  if (folder == nullptr) return found;
  while (const dirent* item = readdir(folder)) {
    if (item->d_name[0] < '0' || item->d_name[0] > '9') continue;
    char path[300], target[64];
    snprintf(path, sizeof path, "%s/ns/net", item->d_name);
    const ssize_t length = readlinkat(dirfd(folder), path, target, sizeof target);
    if (length <= 0) continue;
    const uint64_t inode = parse_namespace_link(std::string_view(target, length));
    if (inode != 0) found.try_emplace(inode, atoi(item->d_name));
  }
  closedir(folder);
  return found;
}

std::string find_restriction() {
  // Before Linux 5.4 two namespaces could give two sockets the same cookie.
  if (!kernel_is_at_least(5, 4)) return "only the host's own network namespace is seen, not those of containers: that needs Linux 5.4";
  const int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const bool may_enter = fd >= 0 && run_inside(fd, [] {});
  if (fd >= 0) close(fd);
  return may_enter ? "" : "only the host's own network namespace is seen, not those of containers: that needs CAP_SYS_ADMIN";
}

}  // namespace

void append_placed(const DiagRow& row, const std::vector<Address>& addresses, std::vector<DiagRow>& rows) {
  if (is_loopback(row.row.local)) return;
  if (!is_unspecified(row.row.local)) {
    rows.push_back(row);
    return;
  }
  uint8_t place = 0;
  for (const Address& address : addresses) {
    const bool takes = is_v4(row.row.local) ? is_v4(address) : !(row.row.v6_only && is_v4(address));
    if (!takes) continue;
    DiagRow& placed = rows.emplace_back(row);
    placed.place = place++;
    placed.row.local = address;
    placed.row.v6_only = false;
  }
}

std::unique_ptr<NetworkNamespace> NetworkNamespace::open(uint64_t inode, int32_t pid) {
  char path[48];
  snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  std::unique_ptr<NetworkNamespace> opened;
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_ino == inode) {
    run_inside(fd, [&] {
      try {
        opened.reset(new NetworkNamespace());
        opened->addresses_.refresh();
      } catch (const SourceError&) {
        // Out of descriptors: as good as refused.
      }
    });
  }
  close(fd);
  return opened;
}

bool NetworkNamespace::refresh(bool quick) {
  const bool is_moved = addresses_.refresh();
  // With loopback alone, as sandboxes have it, nothing in it shows on any wire.
  const bool is_read = !addresses().empty() && sockets_.refresh(quick && !is_moved);
  return is_moved || is_read;
}

void NetworkNamespace::append_sockets(std::vector<DiagRow>& rows) const {
  sockets_.for_each([&](const DiagRow& row) { append_placed(row, addresses(), rows); });
}

std::shared_ptr<NetworkNamespaces> NetworkNamespaces::shared() {
  static std::weak_ptr<NetworkNamespaces> current;
  auto namespaces = current.lock();
  if (namespaces == nullptr) current = namespaces = std::make_shared<NetworkNamespaces>();
  return namespaces;
}

NetworkNamespaces::NetworkNamespaces() : own_(network_namespace(0)), restriction_(find_restriction()) {}

bool NetworkNamespaces::refresh(int64_t monotonic_us) {
  constexpr int64_t period_us = 1'000'000;
  if (!restriction_.empty() || monotonic_us < looked_us_ + period_us) return false;
  looked_us_ = monotonic_us;
  const auto found = namespaces_of_processes();
  const size_t gone = std::erase_if(spaces_, [&](const auto& item) { return !found.contains(item.first); });
  std::erase_if(refused_, [&](uint64_t inode) { return !found.contains(inode); });
  for (const auto& [inode, pid] : found) enter(inode, pid);
  return gone > 0;
}

NetworkNamespace* NetworkNamespaces::enter(uint64_t inode, int32_t pid) {
  if (inode == own_ || !restriction_.empty() || refused_.contains(inode)) return nullptr;
  const auto known = spaces_.find(inode);
  if (known != spaces_.end()) return known->second.get();
  if (spaces_.size() >= most) return nullptr;
  auto opened = NetworkNamespace::open(inode, pid);
  if (opened == nullptr) {
    // The process that an event told of may be gone; others may be there.
    const auto found = namespaces_of_processes();
    const auto other = found.find(inode);
    if (other != found.end() && other->second != pid) opened = NetworkNamespace::open(inode, other->second);
  }
  if (opened == nullptr) {
    refused_.insert(inode);
    return nullptr;
  }
  return (spaces_[inode] = std::move(opened)).get();
}

const std::vector<Address>& NetworkNamespaces::addresses_of(uint64_t inode, int32_t pid) {
  static const std::vector<Address> none;
  NetworkNamespace* space = enter(inode, pid);
  return space == nullptr ? none : space->addresses();
}

}  // namespace proclabel
