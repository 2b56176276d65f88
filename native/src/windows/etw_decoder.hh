#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "event_source.hh"
#include "slice.hh"

namespace proclabel {

/** Providers of ETW: Microsoft-Windows-Kernel-Network and Microsoft-Windows-Kernel-Process. */
enum class EtwProvider : uint8_t { network, process };

/** Events that are asked for; the others, above all those of TCP data, Windows leaves out. */
constexpr uint16_t network_event_ids[] = {12, 13, 15, 16, 28, 29, 31, 32, 42, 43, 58, 59};
constexpr uint16_t process_event_ids[] = {1, 2, 15};

/** An EVENT_RECORD, without what only Windows knows. */
struct EtwRecord {
  EtwProvider provider = EtwProvider::network;
  uint16_t id = 0;
  uint8_t version = 0;
  /** The payload as the provider wrote it. */
  Slice payload;
};

/** One end as an event names it. */
struct EtwEnd {
  Address address{};
  uint16_t port = 0;

  bool operator==(const EtwEnd&) const = default;
};

struct EtwEvent {
  EventKind kind = EventKind::connect;
  Protocol protocol = Protocol::tcp;
  /** As the session's clock counts. */
  int64_t ticks = 0;
  uint32_t pid = 0;
  /** Of an event of sockets: which of them is this host's, `local_end` says. */
  EtwEnd source;
  EtwEnd destination;
  /** Of an event of processes: microseconds since the epoch. */
  int64_t start_us = 0;
  uint32_t parent_pid = 0;
  /** Of process_start: the program's file as the kernel names it (\Device\HarddiskVolume3\...); UTF-8. */
  std::string image;
};

/**
 * Layouts are those of the providers' manifests (`wevtutil gp Microsoft-Windows-Kernel-Network /ge /gm:true`): fields follow
 * each other without gaps. Nothing for ids that were not asked for, and for payloads that are too short.
 */
std::optional<EtwEvent> decode(const EtwRecord& record);

/** Whether `source` is this host's end. By address where one of the two is the host's, else by what the kind of event is known to tell. */
bool source_is_local(const EtwEvent& event, bool is_local_source, bool is_local_destination);

}  // namespace proclabel
