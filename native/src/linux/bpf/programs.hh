#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "linux/bpf/kernel_layout.hh"
#include "linux/kernel_event.hh"

/** Programs that run in the kernel at its tracepoints, and what they write of what they saw. */
namespace proclabel {

/** One moment, as the programs write it; the path follows where a program begins. */
struct BpfRecord {
  KernelEvent::Kind kind;
  /** For tcp_state. */
  uint8_t from, to;
  uint8_t in_interrupt;
  /** In the network's order. */
  uint16_t local_port, remote_port;
  int32_t pid, child;
  uint64_t time_ns, start_ns;
  uint64_t socket;
  uint32_t namespace_inode;
  /** Bytes of the path, with the zero byte at its end. */
  uint32_t text_length;
  uint64_t local[2], remote[2];
  char name[16];
};

/** Where to a thread last looked up a route for a datagram. */
struct BpfRoute {
  /** 0 when it is told already. */
  uint64_t time_ns;
  uint64_t remote[2];
  /** In the network's order, as the address. */
  uint64_t remote_port;
};

/** PATH_MAX. */
constexpr uint32_t longest_path = 4096;

/** What the programs share with each other and with us: descriptors. */
struct BpfMaps {
  /** Ring of records. */
  int records;
  /** How many did not fit in it: one u64. */
  int lost;
  /** The last sighting of a UDP socket, by its number. */
  int sightings;
  /** Accepted sockets that no process has used yet, by number. */
  int accepted;
  /** Routes, by thread and local port: an interrupt that it serves looks up others. */
  int routes;
  /** Room for a record with its path, one a CPU. */
  int room;
};

struct BpfProgram {
  /** Of the tracepoint. */
  const char* name;
  /** Without it there is no source. */
  bool is_required;
  std::vector<bpf_insn> instructions;
};

std::vector<BpfProgram> make_programs(const KernelLayout& layout, const BpfMaps& maps);

}  // namespace proclabel
