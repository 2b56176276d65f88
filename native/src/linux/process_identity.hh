#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "socket_source.hh"

namespace proclabel {

/** Start time of a process from the clock ticks since boot that the kernel counts in; the same for whoever asks. */
int64_t start_us_of_ticks(uint64_t ticks);

/** The same from nanoseconds since boot, as the kernel rounds them. */
int64_t start_us_of_ns(int64_t since_boot_ns);

/** The same for a process that began at this moment of the monotonic clock; the kernel may have counted one tick less. */
int64_t start_us_of_monotonic_ns(int64_t time_ns);

/** What /proc tells of a process, `folder` being its own folder there, held open; null when it has ended. */
std::shared_ptr<Process> read_process(int pid, int folder);

/** The file that a process runs, and whom it acts as: told sooner than all of the above, where only a change of it matters. */
struct RunningProgram {
  uint64_t device = 0, inode = 0;
  uint32_t user = 0;

  bool operator==(const RunningProgram&) const = default;
};

/** Nothing where it may not be known, and of a process that has ended. `folder` as above. */
std::optional<RunningProgram> running_program(int folder);

/** The same by number: whoever has it now. */
std::shared_ptr<Process> read_process(int pid);

/** Inode of the network namespace of a process, or of this one for 0; 0 when it cannot be told. */
uint64_t network_namespace(int pid);

/**
 * The file that runs when a program is asked for by this path: links followed, a script's interpreter in place of the script.
 * Empty when the path leads nowhere here.
 */
std::string executable_of(const std::string& path);

}  // namespace proclabel
