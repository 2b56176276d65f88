#include "windows/local_addresses.hh"

// Before windows.h, which would bring the sockets of an older interface.
#include <winsock2.h>

#include <ws2tcpip.h>

#include <iphlpapi.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "windows/clock.hh"

namespace proclabel {
namespace {

constexpr int64_t read_again_after_us = 2'000'000;

}  // namespace

bool LocalAddresses::contains(const Address& address) {
  const int64_t now_us = monotonic_us();
  if (read_us_ == 0 || now_us - read_us_ >= read_again_after_us) {
    read();
    read_us_ = now_us;
  }
  return addresses_.contains(address);
}

void LocalAddresses::read() {
  constexpr ULONG flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
  std::vector<uint64_t> buffer(4096);
  ULONG size = 0, error = ERROR_BUFFER_OVERFLOW;
  for (int i = 0; i < 3 && error == ERROR_BUFFER_OVERFLOW; i++) {
    buffer.resize(std::max<size_t>(buffer.size(), size / sizeof(uint64_t) + 1));
    size = static_cast<ULONG>(buffer.size() * sizeof(uint64_t));
    error = GetAdaptersAddresses(AF_UNSPEC, flags, nullptr, reinterpret_cast<IP_ADAPTER_ADDRESSES*>(buffer.data()), &size);
  }
  if (error != NO_ERROR) return;
  addresses_.clear();
  const auto* adapter = reinterpret_cast<const IP_ADAPTER_ADDRESSES*>(buffer.data());
  for (; adapter != nullptr; adapter = adapter->Next) {
    for (const auto* unicast = adapter->FirstUnicastAddress; unicast != nullptr; unicast = unicast->Next) {
      const sockaddr* const socket_address = unicast->Address.lpSockaddr;
      Address address{};
      if (socket_address->sa_family == AF_INET6) {
        std::memcpy(address.data(), &reinterpret_cast<const sockaddr_in6*>(socket_address)->sin6_addr, 16);
      } else {
        address[10] = address[11] = 0xff;
        std::memcpy(address.data() + 12, &reinterpret_cast<const sockaddr_in*>(socket_address)->sin_addr, 4);
      }
      addresses_.insert(address);
    }
  }
}

}  // namespace proclabel
