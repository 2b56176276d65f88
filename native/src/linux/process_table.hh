#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "linux/process_identity.hh"
#include "linux/task_starts.hh"
#include "socket_source.hh"

namespace proclabel {

/** Inode of each socket that exists, and the socket's id. */
using LiveSockets = std::unordered_map<uint32_t, uint64_t>;

/**
 * Which processes hold which sockets: inode to processes, from /proc/PID/fd.
 *
 * Looking at a process costs 3 µs, and reading one of its descriptors as much, so both are done where something may have
 * changed: the size that stat gives for /proc/PID/fd is the number of descriptors (since Linux 6.2), and the inode of that
 * folder is another one for another process of the same pid. A process that replaced a descriptor by another has the same
 * number; `read_unchanged` finds it.
 */
class ProcessTable {
 public:
  ProcessTable();
  ~ProcessTable();
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  /**
   * Reads the processes that are new or whose number of descriptors changed; forgets those that ended. A descriptor that
   * held one of `live`, which nobody else does, is taken to hold it still. Without `everybody` those that had no descriptors
   * are left out, as the kernel's threads are: they open only what nobody else has.
   */
  void refresh(const LiveSockets& live, bool everybody);

  /**
   * Reads those that the last refresh took to be unchanged or left out, until `wanted` is empty; takes what it finds off
   * `wanted`. Who opened a socket last comes first. Only those that hold sockets, such as a client that opens one connection
   * after the other, or had no descriptors; `again`, after a search in vain, everybody, and more thoroughly.
   */
  void read_unchanged(const LiveSockets& live, std::unordered_set<uint32_t>& wanted, bool again);

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

    bool operator==(const Descriptor&) const = default;
  };
  struct Entry {
    uint64_t folder_inode = 0;
    int64_t folder_size = -1;
    /** How many of them are numbers only, as of an accept that waits, when they were last listed. */
    int64_t reserved = 0;
    uint32_t seen_in_pass = 0;
    uint32_t read_in_pass = 0;
    /** When a socket was last found that it did not hold before. */
    uint32_t opened_in_pass = 0;
    /** In ascending order of fd, as the kernel lists them. */
    std::vector<Descriptor> descriptors;
    /** Null for a process without sockets. */
    std::shared_ptr<const Process> process;
    /** What it ran when `process` was read. */
    std::optional<RunningProgram> program;
  };
  /** What of a process is read. */
  enum class Look {
    /** All there is. */
    anew,
    /** The list of its descriptors, those that may have changed, and who it is. */
    listed,
    /** The same without the list and who it is where their number and its program show that neither is needed. */
    brief,
  };

  void list_processes(const LiveSockets& live);
  void look_at_known(const LiveSockets& live, TaskStarts::Range started);
  void look_at(int pid, Entry& entry, const LiveSockets& live);
  void read_process(int pid, Entry& entry, const LiveSockets& live, Look look);
  void list_descriptors(int process, Entry& entry, const LiveSockets& live, Look look);
  /** False where it did not find as many as there are. */
  bool guess_descriptors(int process, const Entry& entry, const LiveSockets& live);
  std::shared_ptr<const Process> identify(int pid, int process, Entry& entry, Look look);
  bool holds_still(const Descriptor& descriptor, const LiveSockets& live) const;
  void take_fresh(Entry& entry, std::shared_ptr<const Process> process);
  void add_owner(uint32_t inode, Entry& entry);
  void remove_owner(uint32_t inode, const std::shared_ptr<const Process>& process);
  void remove_owner_of_all(const Entry& entry);

  DIR* proc_;
  TaskStarts starts_;
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
