#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "socket_source.hh"

namespace proclabel {

/** The kernel's numbers (include/net/tcp_states.h). */
enum class TcpState : uint8_t {
  none = 0,
  established = 1,
  syn_sent = 2,
  syn_recv = 3,
  fin_wait_1 = 4,
  close = 7,
  close_wait = 8,
  last_ack = 9,
  listen = 10,
};

/** One moment in the kernel, as one of its tracepoints told it. */
struct KernelEvent {
  enum class Kind : uint8_t { tcp_state, udp_send, udp_receive, tcp_use, fork, exec, exit, move };

  /** move: it may be in another namespace from then on. */
  Kind kind = Kind::tcp_state;
  /** For tcp_state. */
  TcpState from = TcpState::none;
  TcpState to = TcpState::none;
  /** The process that ran then had nothing to do with the socket: a packet was taken in on its time. */
  bool in_interrupt = false;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  /** Thread group that ran; for fork the parent, for exec and exit the process itself. */
  int32_t pid = 0;
  /** For fork. */
  int32_t child = 0;
  /** For fork: the child is in another network namespace than its parent. */
  bool in_new_namespace = false;
  /** Monotonic clock. */
  int64_t time_ns = 0;
  /** Start of the process that ran (for fork: of the child) since boot; 0 where the tracepoint does not tell. */
  int64_t start_ns = 0;
  /** Which socket: an address that another may have later, or a number that none has again. */
  uint64_t socket = 0;
  /** Inode of the socket's network namespace; 0 where the tracepoint does not tell. */
  uint64_t namespace_inode = 0;
  Address local{};
  /** All zero for none. */
  Address remote{};
  /** For exec: the program as it was asked for. Else the name of the process that ran, where the tracepoint tells. */
  std::string text;
};

/** Where kernel events come from. */
class EventTap {
 public:
  virtual ~EventTap() = default;

  virtual bool complete() const = 0;

  /** Appends what happened since, in order of time. Returns how many events were lost meanwhile. */
  virtual uint64_t read(std::vector<KernelEvent>& events) = 0;
};

}  // namespace proclabel
