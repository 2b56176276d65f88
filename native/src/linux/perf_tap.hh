#pragma once

#include <memory>

#include "linux/kernel_event.hh"

namespace proclabel {

/**
 * Kernel events by tracepoints, through perf_event_open: needs CAP_PERFMON (or CAP_SYS_ADMIN) and tracefs, which is mounted
 * where it is not. Throws SourceError.
 */
std::unique_ptr<EventTap> open_perf_tap(size_t buffer_bytes);

}  // namespace proclabel
