#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace proclabel {

/** Which process has an ETW session: its pid and its start, microseconds since the epoch. The name of the session says it. */
struct EtwOwner {
  uint32_t pid = 0;
  int64_t start_us = 0;
};

/** `proclabel-PID-START`. */
std::wstring etw_session_name(const EtwOwner& owner);

/** Nothing for names that are none of ours. */
std::optional<EtwOwner> etw_session_owner(const std::wstring& name);

/**
 * Whether a session is one of ours whose process is gone. `start_of` tells when a process began: 0 where none has the pid, nothing
 * where we may not look.
 */
bool is_orphan(const std::wstring& name, const std::function<std::optional<int64_t>(uint32_t)>& start_of);

}  // namespace proclabel
