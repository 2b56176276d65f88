#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "socket_source.hh"

namespace proclabel {

/** In the order of the enum EventKind in socket-event.avsc, which is also that of native.ts. */
enum class EventKind : uint8_t { connect, accept, listen, close, send, receive, process_start, process_exit };

/** What the system told about a socket or a process. */
struct SocketEvent {
  EventKind kind = EventKind::connect;
  Protocol protocol = Protocol::tcp;
  bool has_remote = false;
  /** Wall clock, microseconds since the epoch. */
  int64_t time_us = 0;
  /** Null while not known; never null in a process event. */
  std::shared_ptr<const Process> process;
  /** The ends mean nothing in a process event. */
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  Address local{};
  Address remote{};
};

/** What happened since the reading before. */
struct EventBatch {
  /** Every event up to here is in this batch or an earlier one, wall clock. */
  int64_t until_us = 0;
  /** Events that the system dropped because nobody fetched them in time. */
  uint64_t lost = 0;
  /** In order of time. */
  std::vector<SocketEvent> events;
};

/** The port behind which each operating system's events are read. Not for use by two threads at a time. */
class EventSource {
 public:
  virtual ~EventSource() = default;

  /** Whether every connect, accept, close and UDP send is told. */
  virtual bool complete() const = 0;

  /** Valid until the next call. Throws SourceError. */
  virtual const EventBatch& read() = 0;

  /** Gives memory back: of sockets and processes of before, less is known from now on. */
  virtual void forget() {}
};

/**
 * `mechanism` is one of the system's (Linux: ebpf, tracepoint), with so much room for events not yet read. `all_namespaces` as of
 * open_socket_source. Throws SourceError.
 */
std::unique_ptr<EventSource> open_event_source(const std::string& mechanism, size_t buffer_bytes, bool all_namespaces);

}  // namespace proclabel
