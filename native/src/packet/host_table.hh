#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "packet/packet.hh"
#include "packet/random_seed.hh"

namespace proclabel::packet {

/** Which address belongs to which monitored host, and when. Hosts are numbers of the caller's. */
class HostTable {
 public:
  static constexpr int32_t nobody = -1;

  /** Times are microseconds since the epoch, infinite where the span is open. */
  void add(const Address& address, double since_us, double until_us, int32_t host) {
    spans_[address].push_back({since_us, until_us, host});
  }

  /** The host that had this address at that time, as HostDirectory.hostOf of services/core/host-directory.ts says. */
  int32_t host_of(const Address& address, double time_us) const;

 private:
  struct Span {
    double since_us;
    double until_us;
    int32_t host;
  };

  struct Hash {
    size_t operator()(const Address& address) const { return mix_bits(address.head ^ random_seed(), address.tail); }
  };

  std::unordered_map<Address, std::vector<Span>, Hash> spans_;
};

}  // namespace proclabel::packet
