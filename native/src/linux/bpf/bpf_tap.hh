#pragma once

#include <memory>

#include "linux/kernel_event.hh"

namespace proclabel {

/**
 * Kernel events by programs that run in the kernel: needs CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), a kernel that tells its
 * types, and the tracepoint sock_send_length (Linux 6.3). Throws SourceError.
 */
std::unique_ptr<EventTap> open_bpf_tap(size_t buffer_bytes);

}  // namespace proclabel
