#pragma once

#include <cstdint>
#include <vector>

#include "linux/diag_messages.hh"

namespace proclabel {

/** Reads the kernel's TCP and UDP sockets, v4 and v6, of the network namespace it was made in, through NETLINK_SOCK_DIAG. */
class SockDiag {
 public:
  SockDiag();
  ~SockDiag();
  SockDiag(const SockDiag&) = delete;
  SockDiag& operator=(const SockDiag&) = delete;

  /**
   * Appends all sockets of this protocol to `rows`. The kernel does not freeze the table meanwhile: a socket that moves in it
   * may come twice. Throws SourceError.
   */
  void dump(Protocol protocol, std::vector<DiagRow>& rows);

 private:
  void dump_both_families(Protocol protocol, std::vector<DiagRow>& rows);
  void dump_udp(uint8_t family, std::vector<DiagRow>& rows);
  void dump(const void* request, size_t size, Protocol protocol, std::vector<DiagRow>& rows);

  const int socket_;
  const bool has_protocol_attribute_;
  uint32_t sequence_ = 0;
};

}  // namespace proclabel
