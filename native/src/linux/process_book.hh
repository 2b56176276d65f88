#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "socket_source.hh"

namespace proclabel {

/**
 * Who has which process id, as the kernel tells of forks, execs and ends: a process that is gone by the time it is looked up
 * has its name nevertheless. Bounded: of those that ended, the ones longest gone are forgotten first.
 */
class ProcessBook {
 public:
  /** Reads the processes that are there. To be called when events are followed already, so that none falls in between. */
  void read_all();

  /** A process began, as its parent was. `start_us` is exact only where `is_exact`. */
  void fork(int32_t parent, int32_t child, int64_t start_us, bool is_exact);
  /** It runs this program from now on. */
  void exec(int32_t pid, std::string path);
  /** It ended; its sockets are closed after that, so it can still be asked for. */
  void exit(int32_t pid);

  /** Forgets those that ended. */
  void forget_ended();

  /** It may be in another network namespace from now on: which one is known only while it can be read. */
  void move(int32_t pid);

  /** Events were lost, an exec or an end maybe among them: what is known has to be looked up again. */
  void doubt() { generation_++; }

  /**
   * Who has this id now; null while that is not known. `start_us`: the start time that the kernel told with the event; 0 for
   * none. `name`: what the kernel calls a process that nothing else is known of; empty for not known.
   */
  std::shared_ptr<const Process> find(int32_t pid, int64_t start_us = 0, const std::string& name = {});

  /** Inode of its network namespace; 0 while not known. */
  uint64_t namespace_of(int32_t pid);

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    /** Null until somebody asks. */
    std::shared_ptr<const Process> process;
    /** What the process was at its fork, or as it was read. */
    Process known;
    /** Of the last exec that has not been looked into. */
    std::string program;
    uint64_t namespace_inode = 0;
    uint64_t generation = 0;
    bool is_start_exact = false;
    bool has_ended = false;
    /** Distinguishes it in the row of those that ended. */
    uint64_t number = 0;
  };

  Entry* look_up(int32_t pid, int64_t start_us, const std::string& name);
  Entry* read(int32_t pid, int64_t start_us);
  void settle(Entry& entry);
  const std::string& resolved(const std::string& path);
  Entry& renew(int32_t pid);

  static constexpr size_t max_ended = 16'384;
  static constexpr size_t max_programs = 4'096;

  std::unordered_map<int32_t, Entry> entries_;
  /** Oldest first: pid and number. */
  std::deque<std::pair<int32_t, uint64_t>> ended_;
  /** What executable_of said. */
  std::unordered_map<std::string, std::string> programs_;
  uint64_t generation_ = 0;
  uint64_t numbers_ = 0;
};

}  // namespace proclabel
