#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "linux/kernel_event.hh"
#include "slice.hh"

/** Records of the kernel's tracepoints, by the layout that tracefs tells. Any bytes are safe. */
namespace proclabel {

/** Where a field is in the record. */
struct TraceField {
  uint32_t offset = 0;
  uint32_t size = 0;
};

/** The field of this name in the text of a `format` file; none when there is no such field. */
std::optional<TraceField> find_field(std::string_view format, std::string_view name);

/** The number behind `ID:`; 0 without one. */
uint16_t trace_id(std::string_view format);

/** Decodes one kind of record; which process ran, and when, is in the frame around it. */
class TraceDecoder {
 public:
  virtual ~TraceDecoder() = default;
  /** Fills `event`; false for a record that is not of interest, or too short. */
  virtual bool decode(const Slice& record, KernelEvent& event) const = 0;
};

/** Tracepoints that are read, by system and name as in tracefs. */
struct Tracepoint {
  const char* name;
  /** What the kernel itself leaves out; null for nothing. */
  const char* filter;
  /** Null when the layout lacks a field. */
  std::unique_ptr<TraceDecoder> (*decoder)(std::string_view format);
  /** Without it there is no source; else events are merely not complete. */
  bool required;
};

extern const std::array<Tracepoint, 8> tracepoints;

}  // namespace proclabel
