#pragma once

#include <cstdint>
#include <optional>

namespace proclabel {

/** What ControlTrace tells of a session since it began; both run over after 2^32. */
struct EtwCounts {
  uint32_t events_lost = 0;
  /** Of a lost buffer nobody knows how many events it held. */
  uint32_t buffers_lost = 0;
};

/** Counts the events that were lost, at least, from one reading to the next. */
class EtwLoss {
 public:
  /**
   * `counts`: nothing where they could not be had. `was_told`: the stream itself said that something was lost, which the counts
   * may say only later. `lost_here`: those for which we had no room.
   */
  uint64_t since_last(std::optional<EtwCounts> counts, bool was_told, uint64_t lost_here) {
    uint64_t lost = 0;
    if (counts) {
      lost = uint64_t{counts->events_lost - before_.events_lost} + (counts->buffers_lost - before_.buffers_lost);
      before_ = *counts;
    }
    return (was_told && lost == 0 ? 1 : lost) + lost_here;
  }

 private:
  EtwCounts before_;
};

}  // namespace proclabel
