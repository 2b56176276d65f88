#include "linux/sock_diag.hh"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "linux/kernel_version.hh"
#include "linux/system_error.hh"

namespace proclabel {
namespace {

/** The states of sockets proper: a bound TCP socket without a peer (bit 13) would cost a walk of the bind hash. */
constexpr uint32_t all_states = 0x1fff;

constexpr size_t buffer_size = 64 * 1024;

/**
 * The oldest kind of request: the one that takes AF_UNSPEC, which gives both families in one walk of the hash. A walk costs
 * more than the sockets found in it.
 */
struct BothFamiliesRequest {
  nlmsghdr header;
  inet_diag_req body;
  nlattr protocol_header;
  uint32_t protocol;
};

struct OneFamilyRequest {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

/** Larger than any answer: the kernel sends at most 32 KiB at a time. One for all: a dump is over before the next begins. */
uint8_t* buffer() {
  static thread_local const auto bytes = std::make_unique<uint8_t[]>(buffer_size);
  return bytes.get();
}

}  // namespace

// Linux 5.9 made INET_DIAG_REQ_PROTOCOL; an older kernel takes the request for one of TCP.
SockDiag::SockDiag()
    : socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)),
      has_protocol_attribute_(kernel_is_at_least(5, 9)) {
  if (socket_ < 0) throw system_error("cannot open a NETLINK_SOCK_DIAG socket", errno);
}

SockDiag::~SockDiag() { close(socket_); }

void SockDiag::dump(Protocol protocol, std::vector<DiagRow>& rows) {
  if (protocol == Protocol::tcp || has_protocol_attribute_) {
    dump_both_families(protocol, rows);
  } else {
    dump_udp(AF_INET, rows);
    dump_udp(AF_INET6, rows);
  }
}

void SockDiag::dump_both_families(Protocol protocol, std::vector<DiagRow>& rows) {
  BothFamiliesRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = TCPDIAG_GETSOCK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  request.body.idiag_family = AF_UNSPEC;
  request.body.idiag_states = all_states;
  request.protocol_header.nla_len = sizeof request.protocol_header + sizeof request.protocol;
  request.protocol_header.nla_type = INET_DIAG_REQ_PROTOCOL;
  request.protocol = protocol == Protocol::udp ? IPPROTO_UDP : IPPROTO_TCP;
  dump(&request, sizeof request, protocol, rows);
}

void SockDiag::dump_udp(uint8_t family, std::vector<DiagRow>& rows) {
  OneFamilyRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_UDP;
  request.body.idiag_states = all_states;
  dump(&request, sizeof request, Protocol::udp, rows);
}

void SockDiag::dump(const void* request, size_t size, Protocol protocol, std::vector<DiagRow>& rows) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const auto* to = reinterpret_cast<const sockaddr*>(&kernel);
  while (sendto(socket_, request, size, 0, to, sizeof kernel) < 0) {
    if (errno != EINTR) throw system_error("cannot ask the kernel for its sockets", errno);
  }
  for (;;) {
    const ssize_t received = recv(socket_, buffer(), buffer_size, 0);
    if (received < 0) {
      if (errno == EINTR) continue;
      throw system_error("cannot read the kernel's sockets", errno);
    }
    const auto progress = parse_diag_messages(Slice(buffer(), received), protocol, sequence_, rows);
    if (progress.status == DumpStatus::done) return;
    if (progress.status == DumpStatus::failed) {
      // An IPv4-only kernel has no IPv6 UDP sockets to tell.
      if (protocol == Protocol::udp && progress.error == ENOENT) return;
      throw system_error("the kernel does not list its sockets", progress.error);
    }
  }
}

}  // namespace proclabel
