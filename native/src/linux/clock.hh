#pragma once

#include <time.h>

#include <cstdint>

namespace proclabel {

inline int64_t clock_us(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000} + now.tv_nsec / 1000;
}

/** Two clocks at one moment, µs; `apart_us` is how long it took to read them. */
struct ClockPair {
  int64_t wall_us, monotonic_us, apart_us;
};

/** The closest of some readings: between two calls a process may be made to wait. */
inline ClockPair read_clocks() {
  ClockPair best{0, 0, INT64_MAX};
  for (int i = 0; i < 4 && best.apart_us > 5; i++) {
    const int64_t before_us = clock_us(CLOCK_MONOTONIC), wall_us = clock_us(CLOCK_REALTIME);
    const int64_t apart_us = clock_us(CLOCK_MONOTONIC) - before_us;
    if (apart_us < best.apart_us) best = {wall_us, before_us + apart_us / 2, apart_us};
  }
  return best;
}

/**
 * Wall clock at boot, µs; taken once, so that the start time of a process is the same whoever reads it, and a wall clock
 * that is set makes nobody another process.
 */
inline int64_t boot_us() {
  static const int64_t at_us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_BOOTTIME);
  return at_us;
}

}  // namespace proclabel
