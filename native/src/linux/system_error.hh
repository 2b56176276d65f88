#pragma once

#include <cstring>
#include <string>

#include "socket_source.hh"

namespace proclabel {

/** `doing what`, and the system's word on why not. */
inline SourceError system_error(const std::string& what, int error) {
  const char* name = strerrorname_np(error);
  return SourceError(what + ": " + strerrordesc_np(error), name == nullptr ? std::to_string(error) : name);
}

}  // namespace proclabel
