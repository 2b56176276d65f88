#pragma once

#include <cstdint>
#include <vector>

#include "linux/netlink_messages.hh"
#include "socket_source.hh"

namespace proclabel {

/** One row of a sock_diag dump. */
struct DiagRow {
  /** The kernel's socket cookie: unique until the next boot. */
  uint64_t cookie = 0;
  /** Inode of the socket's file; 0 while or since no process holds it (not yet accepted, closed, TIME_WAIT). */
  uint32_t inode = 0;
  /** Which address of its network namespace it is told with, of a socket that is bound to none; 0 for the first or only. */
  uint8_t place = 0;
  SocketRow row;
};

/**
 * Appends the sockets of one received buffer of netlink messages that answer request `sequence` to `rows`. Messages that
 * answer another request are passed over. Any bytes are safe.
 */
DumpProgress parse_diag_messages(Slice buffer, Protocol protocol, uint32_t sequence, std::vector<DiagRow>& rows);

}  // namespace proclabel
