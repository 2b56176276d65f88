#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "packet/packet.hh"
#include "packet/random_seed.hh"

namespace proclabel::packet {

struct AddressHash {
  size_t operator()(const Address& address) const { return mix_bits(address.head ^ random_seed(), address.tail); }
};

/** Which address belongs to which monitored host, and when; hosts are numbers of the caller's. And which networks are monitored. */
class HostTable {
 public:
  static constexpr int32_t nobody = -1;

  /** Times are microseconds since the epoch, infinite where the span is open. */
  void add(const Address& address, double since_us, double until_us, int32_t host) {
    spans_[address].push_back({since_us, until_us, host});
    end_ = std::max(end_, host + 1);
  }

  /** Every address whose first `bits` bits are those of `address` (of 128, IPv4 as v4-mapped) is monitored. */
  void add_network(const Address& address, int bits) { networks_.push_back({address, bits}); }

  /** Whether the address is or was a host's. */
  bool knows(const Address& address) const { return spans_.contains(address); }

  bool is_in_network(const Address& address) const;

  /** Every host's number is below. */
  int32_t end() const { return end_; }

  /** The host that had this address at that time, as HostDirectory.hostOf of services/core/host-directory.ts says. */
  int32_t host_of(const Address& address, double time_us) const;

 private:
  struct Span {
    double since_us;
    double until_us;
    int32_t host;
  };

  struct Network {
    Address address;
    int bits;
  };

  std::unordered_map<Address, std::vector<Span>, AddressHash> spans_;
  std::vector<Network> networks_;
  int32_t end_ = 0;
};

}  // namespace proclabel::packet
