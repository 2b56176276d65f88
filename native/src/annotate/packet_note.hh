#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace proclabel::annotate {

/** A process that owns packets; the pid is 0 where only the program is known. */
struct PacketProcess {
  std::string name;
  uint32_t pid;
};

/** What goes with the packets of a session; sessions of one process mostly share it. */
struct Note {
  static constexpr uint32_t no_process = std::numeric_limits<uint32_t>::max();

  std::string comment;
  /** Place in the list of processes; `no_process` without a label. */
  uint32_t process = no_process;
};

using SharedNote = std::shared_ptr<const Note>;

}  // namespace proclabel::annotate
