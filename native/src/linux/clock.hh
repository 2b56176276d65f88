#pragma once

#include <time.h>

#include <cstdint>

namespace proclabel {

inline int64_t clock_us(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000} + now.tv_nsec / 1000;
}

}  // namespace proclabel
