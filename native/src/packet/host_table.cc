#include "packet/host_table.hh"

#include <algorithm>
#include <limits>

namespace proclabel::packet {

int32_t HostTable::host_of(const Address& address, double time_us) const {
  const auto found = spans_.find(address);
  if (found == spans_.end()) return nobody;
  double nearest = std::numeric_limits<double>::infinity();
  int32_t host = nobody;
  for (const Span& span : found->second) {
    const double distance = std::max({span.since_us - time_us, time_us - span.until_us, 0.0});
    if (distance > nearest) continue;
    // An address that several hosts have at once tells nothing.
    host = distance < nearest || host == span.host ? span.host : nobody;
    nearest = distance;
  }
  return host;
}

bool HostTable::is_in_network(const Address& address) const {
  const auto differs = [](uint64_t a, uint64_t b, int bits) {
    return bits > 0 && (__builtin_bswap64(a ^ b) >> (64 - std::min(bits, 64))) != 0;
  };
  return std::ranges::any_of(networks_, [&](const Network& network) {
    return !differs(address.head, network.address.head, network.bits) &&
           !differs(address.tail, network.address.tail, network.bits - 64);
  });
}

}  // namespace proclabel::packet
