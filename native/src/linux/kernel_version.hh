#pragma once

#include <sys/utsname.h>

#include <cstdio>

namespace proclabel {

inline bool kernel_is_at_least(int wanted_major, int wanted_minor) {
  utsname system;
  int major = 0, minor = 0;
  if (uname(&system) < 0 || sscanf(system.release, "%d.%d", &major, &minor) != 2) return false;
  return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
}

}  // namespace proclabel
