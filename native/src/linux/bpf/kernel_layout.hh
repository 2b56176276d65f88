#pragma once

#include <cstdint>
#include <optional>

#include "linux/bpf/btf.hh"

namespace proclabel {

/** Where in the kernel's structures is what the programs read, bytes. */
struct KernelLayout {
  struct {
    uint32_t family, protocol, owned, net, remote_port, remote_v4, local_v4, remote_v6, local_v6;
    /** Of the larger structure around it; kept when the socket is closed. */
    uint32_t local_port;
  } socket;
  struct {
    uint32_t thread, process, leader, start, name, signal;
  } task;
  /** Of the flows of both families; `interface`: where the packet came from. */
  struct {
    uint32_t interface, protocol, v4_to, v4_ports_from, v4_ports_to, v6_to, v6_ports_from, v6_ports_to;
  } flow;
  uint32_t net_inode, live_threads, path;

  /** None when the kernel lacks a member. */
  static std::optional<KernelLayout> find(const Btf& types);
};

}  // namespace proclabel
