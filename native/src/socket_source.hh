#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace proclabel {

/** A process; its identity is pid and start time together. */
struct Process {
  int32_t pid = 0;
  /** Microseconds since the epoch; 0 where the system does not tell. */
  int64_t start_us = 0;
  std::string name;
  /** Full path of the executable; empty when not known. */
  std::string path;
  int32_t parent_pid = 0;
  /** Of the parent's program, as it was when this was first read; empty when not known. */
  std::string parent_name;
  std::vector<std::string> services;
  /** Empty outside containers. */
  std::string container_id;
  /** `NAMESPACE/NAME` in Kubernetes; empty outside of pods, and when not known. */
  std::string pod;
  /** Name of the user it runs as, or the number where no name is known; empty when not known. */
  std::string user;

  bool operator==(const Process&) const = default;
};

enum class Protocol : uint8_t { tcp, udp };

/** In the order of the enum SocketState in socket-snapshot.avsc, which is also that of native.ts. */
enum class State : uint8_t {
  listen,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
  closed,
  bound,
};

/** 16 bytes in network order; an IPv4 socket's address is v4-mapped. */
using Address = std::array<uint8_t, 16>;

/** What the system's socket table says of a socket. */
struct SocketRow {
  Protocol protocol = Protocol::tcp;
  State state = State::closed;
  bool v6_only = false;
  /** False for a listening or unconnected socket: `remote` and `remote_port` mean nothing then. */
  bool has_remote = false;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  Address local{};
  Address remote{};

  bool operator==(const SocketRow&) const = default;
};

using Owners = std::vector<std::shared_ptr<const Process>>;

struct Socket {
  /** Identity of the socket within the run. */
  uint64_t id = 0;
  SocketRow row;
  /** When it was bound, microseconds since the epoch; 0 where the system does not tell. */
  int64_t created_us = 0;
  /** Sorted by pid; empty while not known. */
  Owners owners;
};

/** One reading of the socket table, as the difference to the reading before. */
struct Poll {
  /** When the reading began: wall clock since the epoch, and monotonic clock, microseconds. */
  int64_t time_us = 0;
  int64_t monotonic_us = 0;
  int64_t duration_us = 0;
  /** Sockets in the table now. */
  size_t total = 0;
  /** New ones, and those whose row or owners changed. Valid until the next poll. */
  std::vector<const Socket*> opened;
  /** Ids that are gone. */
  std::vector<uint64_t> closed;
};

/** An address of another network namespace, a container's, whose sockets are told too. */
struct PlacedAddress {
  /** Inode of the namespace. */
  uint64_t namespace_inode = 0;
  Address address{};
};

/** The system refused what a source cannot do without. */
class SourceError : public std::runtime_error {
 public:
  /** `code` is the system's name of the error, such as EPERM. */
  SourceError(const std::string& what, const std::string& code) : std::runtime_error(what), code(code) {}
  const std::string code;
};

/** The port behind which each operating system's socket table is read. */
class SocketSource {
 public:
  virtual ~SocketSource() = default;

  /** What it cannot see for want of privileges, in a sentence for the user; empty when it sees all, or cannot tell. */
  virtual std::string restriction() const { return {}; }

  /** Those of other network namespaces, as of the last poll; none of loopback. Also while another thread polls. Throws SourceError. */
  virtual std::vector<PlacedAddress> addresses() { return {}; }

  /**
   * Reads the table; the first poll opens every socket there is. `quick`: where the system tells that there was no traffic of
   * sockets that are not in it, the table may be taken to be what it was. The result is valid until the next call. Not for
   * two threads at a time. Throws SourceError.
   */
  virtual const Poll& poll(bool quick) = 0;
};

/**
 * The source of the system this was built for. `all_namespaces`: with the sockets of other network namespaces, on Linux; those
 * that are bound to no address are told with each of their namespace's. Throws SourceError.
 */
std::unique_ptr<SocketSource> open_socket_source(bool all_namespaces);

}  // namespace proclabel
