#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "socket_source.hh"
#include "windows/handle.hh"
#include "windows/service_table.hh"

namespace proclabel {

/** Asks for the right to look at every process. False where the user may not have it: he is no administrator. */
bool enable_debug_privilege();

/**
 * The processes that hold sockets, by pid. It keeps each one's handle: as long as there is one, Windows gives the pid to
 * nobody else, also when the process is gone.
 */
class ProcessTable {
 public:
  /** Null for a pid that no process has. The same pointer until something about the process changes. */
  std::shared_ptr<const Process> find(uint32_t pid);

  /** A poll is over: what nobody asked for over many polls is forgotten. */
  void end_poll();

 private:
  struct Entry {
    /** Null where the process may not be looked at, or is not there. */
    Handle handle;
    std::shared_ptr<const Process> process;
    uint64_t read_in_poll = 0;
    uint64_t used_in_poll = 0;
  };

  /** What the system tells everybody of a process. */
  struct Listed {
    std::string name;
    uint32_t parent_pid = 0;
  };

  /** Polls until a process without handle is looked at again: another may have its pid. */
  static constexpr uint64_t read_again_after = 20;
  /** Polls until the services are asked for again, and until an unused process is forgotten. */
  static constexpr uint64_t refresh_every = 200;

  void read(uint32_t pid, Entry& entry);
  void refresh_services();
  const Listed* listed(uint32_t pid);
  std::string parent_name(const Listed& child, int64_t start_us) const;

  uint64_t number_ = 1;
  std::unordered_map<uint32_t, Entry> entries_;
  /** As of this poll; empty while nobody asked. */
  std::unordered_map<uint32_t, Listed> list_;
  ServiceTable services_;
  uint64_t services_of_poll_ = 0;
};

}  // namespace proclabel
