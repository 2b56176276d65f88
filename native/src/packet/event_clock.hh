#pragma once

#include <cmath>
#include <limits>

namespace proclabel::packet {

/**
 * Time as the packets tell it, microseconds since the epoch; services/core/event-clock.ts is its twin and says how it
 * treats packets out of order and damaged timestamps.
 */
class EventClock {
 public:
  /** NaN before the first packet. */
  double now_us() const { return now_us_; }

  void observe(double time_us) {
    if (std::abs(time_us - now_us_) <= suspect_jump_us) {
      if (time_us > now_us_) now_us_ = time_us;
      suspect_us_ = none;
    } else if (std::isnan(now_us_) || is_confirmed(time_us)) {
      now_us_ = time_us;
      suspect_us_ = none;
    } else {
      suspect_us_ = time_us;
    }
  }

 private:
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  /** A jump of more than this is believed only when the next packet confirms it. */
  static constexpr double suspect_jump_us = 60'000'000;

  /** Was the packet before on the same side, far from now? */
  bool is_confirmed(double time_us) const {
    return !std::isnan(suspect_us_) && (time_us > now_us_) == (suspect_us_ > now_us_);
  }

  double now_us_ = none;
  double suspect_us_ = none;
};

}  // namespace proclabel::packet
