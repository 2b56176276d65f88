#include "linux/sock_diag.hh"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "linux/system_error.hh"

namespace proclabel {
namespace {

constexpr uint32_t all_states = ~0u;

struct TcpRequest {
  nlmsghdr header;
  inet_diag_req body;
};

struct UdpRequest {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

}  // namespace

SockDiag::SockDiag() : buffer_(new uint8_t[buffer_size_]) {
  socket_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (socket_ < 0) throw system_error("cannot open a NETLINK_SOCK_DIAG socket", errno);
}

SockDiag::~SockDiag() { close(socket_); }

void SockDiag::dump(std::vector<DiagRow>& rows) {
  rows.clear();
  // The legacy request gives both families in one walk of the TCP hash, which costs more than the sockets in it.
  TcpRequest tcp{};
  tcp.header.nlmsg_len = sizeof tcp;
  tcp.header.nlmsg_type = TCPDIAG_GETSOCK;
  tcp.body.idiag_family = AF_UNSPEC;
  tcp.body.idiag_states = all_states;
  tcp.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  tcp.header.nlmsg_seq = ++sequence_;
  dump(&tcp, sizeof tcp, Protocol::tcp, rows);
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    UdpRequest udp{};
    udp.header.nlmsg_len = sizeof udp;
    udp.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    udp.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    udp.header.nlmsg_seq = ++sequence_;
    udp.body.sdiag_family = family;
    udp.body.sdiag_protocol = IPPROTO_UDP;
    udp.body.idiag_states = all_states;
    dump(&udp, sizeof udp, Protocol::udp, rows);
  }
}

void SockDiag::dump(const void* request, size_t size, Protocol protocol, std::vector<DiagRow>& rows) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const auto* to = reinterpret_cast<const sockaddr*>(&kernel);
  while (sendto(socket_, request, size, 0, to, sizeof kernel) < 0) {
    if (errno != EINTR) throw system_error("cannot ask the kernel for its sockets", errno);
  }
  for (;;) {
    const ssize_t received = recv(socket_, buffer_.get(), buffer_size_, 0);
    if (received < 0) {
      if (errno == EINTR) continue;
      throw system_error("cannot read the kernel's sockets", errno);
    }
    const auto progress = parse_diag_messages(Slice(buffer_.get(), received), protocol, sequence_, rows);
    if (progress.status == DumpStatus::done) return;
    if (progress.status == DumpStatus::failed) {
      // An IPv4-only kernel has no IPv6 UDP sockets to tell.
      if (protocol == Protocol::udp && progress.error == ENOENT) return;
      throw system_error("the kernel does not list its sockets", progress.error);
    }
  }
}

}  // namespace proclabel
