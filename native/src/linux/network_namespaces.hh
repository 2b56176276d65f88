#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "linux/address_list.hh"
#include "linux/socket_table.hh"
#include "socket_source.hh"

namespace proclabel {

/**
 * Appends `row` of a network namespace with these addresses as it shows on a wire: of a socket that is bound to no address, one
 * row for each that it takes packets for; none of a socket on loopback. So rows of several namespaces can stand in one table.
 */
void append_placed(const DiagRow& row, const std::vector<Address>& addresses, std::vector<DiagRow>& rows);

/** Another network namespace than ours, with sockets of netlink in it; for as long as they are open, the namespace stays. */
class NetworkNamespace {
 public:
  /** That of a process; null where it has another by now, or may not be entered. */
  static std::unique_ptr<NetworkNamespace> open(uint64_t inode, int32_t pid);

  /** As of SocketTable; addresses that changed are a change too. Throws SourceError. */
  bool refresh(bool quick);

  /** Appends its sockets as append_placed does. */
  void append_sockets(std::vector<DiagRow>& rows) const;

  const std::vector<Address>& addresses() const { return addresses_.all(); }

 private:
  NetworkNamespace() = default;

  SocketTable sockets_;
  AddressList addresses_;
};

/** The network namespaces of this machine's processes, apart from ours: those of containers. */
class NetworkNamespaces {
 public:
  /** The same for all sources that are open, of sockets and of events. */
  static std::shared_ptr<NetworkNamespaces> shared();

  /** Held while anything below is used, and what it answered: sockets are polled by a thread of their own. */
  [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

  NetworkNamespaces();

  /** Why none can be entered, in a sentence for the user; empty where they can. */
  const std::string& restriction() const { return restriction_; }

  /**
   * Looks for new ones, and lets go of those in which no process is any more; once a second, however often it is called.
   * Answers whether it let go of one.
   */
  bool refresh(int64_t monotonic_us);

  /** By inode. */
  const std::map<uint64_t, std::unique_ptr<NetworkNamespace>>& all() const { return spaces_; }

  /** The addresses of a process's namespace, which is entered where it was not yet; empty where it cannot be, and for ours. */
  const std::vector<Address>& addresses_of(uint64_t inode, int32_t pid);

  uint64_t own() const { return own_; }

 private:
  NetworkNamespace* enter(uint64_t inode, int32_t pid);

  /** Each takes six descriptors. */
  static constexpr size_t most = 512;

  std::mutex mutex_;
  const uint64_t own_;
  const std::string restriction_;
  int64_t looked_us_ = INT64_MIN;
  std::map<uint64_t, std::unique_ptr<NetworkNamespace>> spaces_;
  /** Those that could not be entered. */
  std::unordered_set<uint64_t> refused_;
};

}  // namespace proclabel
