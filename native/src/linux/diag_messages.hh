#pragma once

#include <cstdint>
#include <vector>

#include "slice.hh"
#include "socket_source.hh"

namespace proclabel {

/** One row of a sock_diag dump. */
struct DiagRow {
  /** The kernel's socket cookie: unique until the next boot. */
  uint64_t cookie = 0;
  /** Inode of the socket's file; 0 while or since no process holds it (not yet accepted, closed, TIME_WAIT). */
  uint32_t inode = 0;
  SocketRow row;
};

enum class DumpStatus { more, done, failed };

struct DumpProgress {
  DumpStatus status = DumpStatus::more;
  /** The errno that the kernel answered with when `failed`; EBADMSG for bytes that are no answer. */
  int error = 0;
};

/**
 * Appends the sockets of one received buffer of netlink messages that answer request `sequence` to `rows`. Messages that
 * answer another request are passed over. Any bytes are safe.
 */
DumpProgress parse_diag_messages(Slice buffer, Protocol protocol, uint32_t sequence, std::vector<DiagRow>& rows);

}  // namespace proclabel
