#pragma once

#include <cstdint>
#include <set>

#include "socket_source.hh"

namespace proclabel {

/** The addresses of this host's interfaces, as they were within the last seconds. */
class LocalAddresses {
 public:
  bool contains(const Address& address);

 private:
  void read();

  std::set<Address> addresses_;
  int64_t read_us_ = 0;
};

}  // namespace proclabel
