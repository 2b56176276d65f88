#include "linux/diag_messages.hh"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "linux/address_kind.hh"

namespace proclabel {
namespace {

/** The kernel's TCP states (enum in netinet/tcp.h, which lacks the last two) in ours. */
State tcp_state(uint8_t state) {
  constexpr uint8_t new_syn_recv = 12;
  switch (state) {
    case TCP_ESTABLISHED: return State::established;
    case TCP_SYN_SENT: return State::syn_sent;
    case TCP_SYN_RECV:
    case new_syn_recv: return State::syn_received;
    case TCP_FIN_WAIT1: return State::fin_wait_1;
    case TCP_FIN_WAIT2: return State::fin_wait_2;
    case TCP_TIME_WAIT: return State::time_wait;
    case TCP_CLOSE_WAIT: return State::close_wait;
    case TCP_LAST_ACK: return State::last_ack;
    case TCP_LISTEN: return State::listen;
    case TCP_CLOSING: return State::closing;
    default: return State::closed;
  }
}

Address to_address(uint8_t family, const __be32 (&words)[4]) {
  Address address{};
  if (family == AF_INET) {
    address[10] = address[11] = 0xff;
    std::memcpy(&address[12], words, 4);
  } else {
    std::memcpy(address.data(), words, 16);
  }
  return address;
}

void parse_row(Slice payload, Protocol protocol, std::vector<DiagRow>& rows) {
  const auto message = payload.read<inet_diag_msg>(0);
  if (!message || (message->idiag_family != AF_INET && message->idiag_family != AF_INET6)) return;
  DiagRow& row = rows.emplace_back();
  row.cookie = uint64_t{message->id.idiag_cookie[1]} << 32 | message->id.idiag_cookie[0];
  row.inode = message->idiag_inode;
  row.row.protocol = protocol;
  row.row.state = protocol == Protocol::udp ? State::bound : tcp_state(message->idiag_state);
  row.row.local = to_address(message->idiag_family, message->id.idiag_src);
  row.row.remote = to_address(message->idiag_family, message->id.idiag_dst);
  row.row.local_port = ntohs(message->id.idiag_sport);
  row.row.remote_port = ntohs(message->id.idiag_dport);
  row.row.has_remote =
      row.row.state != State::listen && (row.row.remote_port != 0 || !is_unspecified(row.row.remote));
  if (message->idiag_family == AF_INET6 && is_unspecified(row.row.local)) {
    // The kernel sends the attribute for listening TCP and unconnected UDP sockets: those it means anything for.
    row.row.v6_only =
        find_attribute(payload.part(NLMSG_ALIGN(sizeof(inet_diag_msg))), INET_DIAG_SKV6ONLY).read<uint8_t>(0).value_or(0) != 0;
  }
}

}  // namespace

DumpProgress parse_diag_messages(Slice buffer, Protocol protocol, uint32_t sequence, std::vector<DiagRow>& rows) {
  const auto take = [&](uint16_t type, Slice payload) {
    // Answers to the legacy request carry its number, those to the newer one SOCK_DIAG_BY_FAMILY.
    if (type == TCPDIAG_GETSOCK || type == SOCK_DIAG_BY_FAMILY) parse_row(payload, protocol, rows);
  };
  return read_netlink_messages(buffer, sequence, take, [] {});
}

}  // namespace proclabel
