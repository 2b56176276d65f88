#pragma once

#include <time.h>

#include <cstdint>

namespace proclabel {

inline int64_t clock_us(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000} + now.tv_nsec / 1000;
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
