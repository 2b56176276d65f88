#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "annotate/packet_note.hh"
#include "packet/flow_table.hh"

namespace proclabel::annotate {

/** A labeled session as far as its packets need it. Times: microseconds since the epoch. */
struct Session {
  packet::FlowKey flow{packet::Packet{}};
  double first_us = 0;
  double last_us = 0;
  /** Its place among the sessions that were read. */
  uint64_t order = 0;
  int32_t revision = 0;
  uint8_t id_length = 0;
  std::array<char, 32> id{};

  std::string_view id_text() const { return {id.data(), id_length}; }
  bool is(const Session& other) const { return id_text() == other.id_text(); }
};

/**
 * Reads a line of labeled sessions, a JSON object; false for a line that is none. `facts` is what of it the note is made from, as a
 * JSON array: the label's process and pid, stage, confidence, unknown cause, host. What is not needed is not checked.
 */
bool read_session_line(std::string_view line, Session& session, std::string& facts);

/** Cuts bytes into lines, wherever they were parted. Empty lines are none; of one longer than `most_bytes`, nothing is handed on. */
class LineSplitter {
 public:
  static constexpr size_t most_bytes = 32 << 20;

  explicit LineSplitter(std::function<void(std::string_view)> take) : take_(std::move(take)) {}

  void add(std::string_view bytes);
  /** The text is over, with a line feed or without. */
  void end();

 private:
  void hold(std::string_view part);

  std::function<void(std::string_view)> take_;
  std::string held_;
  bool is_too_long_ = false;
};

}  // namespace proclabel::annotate
