#include "linux/address_list.hh"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linux/address_kind.hh"
#include "linux/system_error.hh"

namespace proclabel {
namespace {

struct AddressRequest {
  nlmsghdr header;
  ifaddrmsg body;
};

/** The kernel sends at most 32 KiB at a time. */
constexpr size_t buffer_size = 32 * 1024;

}  // namespace

DumpProgress parse_address_messages(Slice buffer, uint32_t sequence, std::vector<Address>& addresses, bool& is_stale) {
  const auto take = [&](uint16_t type, Slice payload) {
    const auto message = payload.read<ifaddrmsg>(0);
    if (type != RTM_NEWADDR || !message) return;
    const Slice attributes = payload.part(NLMSG_ALIGN(sizeof(ifaddrmsg)));
    // Of a point-to-point interface IFA_ADDRESS is the other end.
    Slice bytes = find_attribute(attributes, IFA_LOCAL);
    if (bytes.size() == 0) bytes = find_attribute(attributes, IFA_ADDRESS);
    Address address{};
    if (const auto v4 = bytes.read<std::array<uint8_t, 4>>(0); message->ifa_family == AF_INET && v4) {
      address[10] = address[11] = 0xff;
      std::copy(v4->begin(), v4->end(), address.begin() + 12);
    } else if (const auto v6 = bytes.read<Address>(0); message->ifa_family == AF_INET6 && v6) {
      address = *v6;
    } else {
      return;
    }
    if (!is_loopback(address)) addresses.push_back(address);
  };
  return read_netlink_messages(buffer, sequence, take, [&] { is_stale = true; });
}

AddressList::AddressList() : socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  if (socket_ < 0) throw system_error("cannot open a NETLINK_ROUTE socket", errno);
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  self.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (bind(socket_, reinterpret_cast<const sockaddr*>(&self), sizeof self) < 0) {
    const int error = errno;
    close(socket_);
    throw system_error("cannot follow changes of addresses", error);
  }
}

AddressList::~AddressList() { close(socket_); }

bool AddressList::refresh() {
  take_changes();
  if (!is_stale_) return false;
  read_all();
  return true;
}

void AddressList::take_changes() {
  uint8_t message[4096];
  for (;;) {
    const ssize_t received = recv(socket_, message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (received < 0 && errno == EINTR) continue;
    // ENOBUFS: some were lost.
    if (received < 0 && errno != ENOBUFS) return;
    is_stale_ = true;
  }
}

void AddressList::read_all() {
  is_stale_ = false;
  addresses_.clear();
  AddressRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  request.body.ifa_family = AF_UNSPEC;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(socket_, &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0)
    throw system_error("cannot ask the kernel for addresses", errno);
  std::vector<uint8_t> buffer(buffer_size);
  for (DumpStatus status = DumpStatus::more; status == DumpStatus::more;) {
    const ssize_t received = recv(socket_, buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == ENOBUFS) {
      is_stale_ = true;
      continue;
    }
    if (received < 0) throw system_error("cannot read the kernel's addresses", errno);
    const auto progress = parse_address_messages(Slice(buffer.data(), received), sequence_, addresses_, is_stale_);
    if (progress.status == DumpStatus::failed) throw system_error("the kernel does not list its addresses", progress.error);
    status = progress.status;
  }
  if (addresses_.size() > most) addresses_.resize(most);
}

}  // namespace proclabel
