#pragma once

#include <windows.h>

#include <cstdint>

#include "windows/table_rows.hh"

namespace proclabel {

inline uint64_t file_time(const FILETIME& time) { return uint64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime; }

/** Wall clock, microseconds since the epoch. */
inline int64_t wall_us() {
  FILETIME now;
  GetSystemTimePreciseAsFileTime(&now);
  return file_time_us(file_time(now));
}

/** Microseconds of a clock that nobody sets. */
inline int64_t monotonic_us() {
  LARGE_INTEGER frequency, counter;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&counter);
  const int64_t seconds = counter.QuadPart / frequency.QuadPart;
  return seconds * 1'000'000 + counter.QuadPart % frequency.QuadPart * 1'000'000 / frequency.QuadPart;
}

}  // namespace proclabel
