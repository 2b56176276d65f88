#pragma once

#include <cstdint>
#include <vector>

#include "linux/netlink_messages.hh"
#include "socket_source.hh"

namespace proclabel {

/**
 * Appends the addresses in one received buffer of answers to the RTM_GETADDR dump `sequence` (rtnetlink(7)), but for those of
 * loopback. `is_stale` becomes true where the buffer also tells of a change. Any bytes are safe.
 */
DumpProgress parse_address_messages(Slice buffer, uint32_t sequence, std::vector<Address>& addresses, bool& is_stale);

/** The addresses of the network namespace it was made in, those of loopback left out. */
class AddressList {
 public:
  /** Throws SourceError. */
  AddressList();
  ~AddressList();
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;

  /** Reads them again where the kernel told of a change, and answers whether it did. Throws SourceError. */
  bool refresh();

  /** In the kernel's order, at most `most`. */
  const std::vector<Address>& all() const { return addresses_; }

  static constexpr size_t most = 32;

 private:
  void take_changes();
  void read_all();

  int socket_;
  uint32_t sequence_ = 0;
  bool is_stale_ = true;
  std::vector<Address> addresses_;
};

}  // namespace proclabel
