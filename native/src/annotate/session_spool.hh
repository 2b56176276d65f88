#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "annotate/session_line.hh"

namespace proclabel::annotate {

struct NotedSession {
  Session session;
  SharedNote note;
};

/**
 * Sessions in the order of their first packets, however many: they are sorted by parts, which wait in a file (external merge sort).
 * One part is held in memory, and the file is made only when there are more.
 */
class SessionSpool {
 public:
  /** Sessions of a part, some 16 MB. */
  static constexpr size_t part_sessions = 1 << 17;

  /** Writes over `file`, which the caller deletes in the end. */
  explicit SessionSpool(std::string file, size_t most_held = part_sessions)
      : file_(std::move(file)), most_held_(most_held) {}

  /** `add` is not called any more once reading has begun. Throws std::ios_base::failure when the file cannot be written. */
  void add(NotedSession session);
  uint64_t size() const { return size_; }

  /** The next one; null at the end. Valid until `pop`. */
  const NotedSession* head();
  void pop();
  /** To the first one again. */
  void rewind();

 private:
  /** Where reading stands in a part: `next` is its first session not yet read. */
  struct Part {
    uint64_t at = 0;
    uint64_t end = 0;
    std::vector<char> read;
    size_t read_at = 0;
    NotedSession next;
  };

  void sort_held();
  void lay_aside();
  /** Reads the next session of a part; false at its end. */
  bool advance(size_t part);
  bool take(Part& part, char* to, size_t bytes);
  bool is_before(size_t a, size_t b) const;

  std::string file_;
  size_t most_held_;
  std::fstream stream_;
  std::vector<NotedSession> held_;
  size_t held_at_ = 0;
  uint64_t size_ = 0;
  /** Where parts end in the file. */
  std::vector<uint64_t> ends_;
  /** The last one is what is held. */
  std::vector<Part> parts_;
  /** Heap of places in `parts_`, the earliest session on top. */
  std::vector<size_t> heap_;
  bool is_reading_ = false;
};

}  // namespace proclabel::annotate
