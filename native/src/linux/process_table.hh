#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "socket_source.hh"

namespace proclabel {

/** Inode of each socket that exists, and the socket's id. */
using LiveSockets = std::unordered_map<uint32_t, uint64_t>;

/**
 * Which processes hold which sockets: inode to processes, from /proc/PID/fd.
 *
 * Reading a descriptor costs about 4 µs, so only processes that may have changed are read again: the size that stat gives
 * for /proc/PID/fd is their number (since Linux 6.2), and the inode of that folder is another one for another process of
 * the same pid. A process that replaced a descriptor by another has the same number; `read_unchanged` finds it.
 */
class ProcessTable {
 public:
  ProcessTable();
  ~ProcessTable();
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  /**
   * Reads the processes that are new or whose number of descriptors changed; forgets those that ended. A descriptor that
   * held one of `live` is taken to hold it still.
   */
  void refresh(const LiveSockets& live);

  /**
   * Reads those that the last refresh took to be unchanged, until `wanted` is empty; takes what it finds off `wanted`.
   * Without `everybody` only those that hold sockets: a client that opens one connection after the other.
   */
  void read_unchanged(const LiveSockets& live, std::unordered_set<uint32_t>& wanted, bool everybody);

  /** Reads the next few processes, so that each has its turn, however unchanged it seems. */
  void read_next_in_turn(const LiveSockets& live);

  /** Who holds the socket, sorted by pid; null when nobody is known to. */
  const Owners* owners(uint32_t inode) const;

  /** The sockets whose owners changed since this was last asked; some may be there twice. */
  std::vector<uint32_t> take_changed() { return std::exchange(changed_, {}); }

 private:
  struct Descriptor {
    int fd;
    /** 0 for what is no socket. */
    uint32_t inode;
  };
  struct Entry {
    uint64_t folder_inode = 0;
    int64_t folder_size = -1;
    uint32_t seen_in_pass = 0;
    uint32_t read_in_pass = 0;
    /** In ascending order of fd, as the kernel lists them. */
    std::vector<Descriptor> descriptors;
    /** Null for a process without sockets. */
    std::shared_ptr<const Process> process;
  };

  /** `live` null: every descriptor is read. */
  void read_process(int pid, Entry& entry, const LiveSockets* live);
  void take_fresh(Entry& entry, std::shared_ptr<const Process> process);
  void add_owner(uint32_t inode, const std::shared_ptr<const Process>& process);
  void remove_owner(uint32_t inode, const std::shared_ptr<const Process>& process);
  void remove_owner_of_all(const Entry& entry);

  DIR* proc_;
  bool size_is_count_;
  uint32_t pass_ = 0;
  int turn_ = 0;
  std::vector<uint32_t> changed_;
  std::unordered_map<int, Entry> entries_;
  std::unordered_map<uint32_t, Owners> owners_;
  /** What read_process finds. */
  std::vector<Descriptor> fresh_;
};

}  // namespace proclabel
