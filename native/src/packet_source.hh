#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "frame_columns.hh"
#include "socket_source.hh"

namespace proclabel {

/** The port behind which each operating system captures on an interface. Not for use by two threads at a time. */
class PacketSource {
 public:
  virtual ~PacketSource() = default;

  /** What the offsets of frames count from. */
  virtual std::span<uint8_t> memory() = 0;

  /** Frames that `next` hands out at most; columns must have as many rows. */
  virtual size_t most_frames() const = 0;

  /** The frames that came since, 0 for none; their bytes are valid until the next call. Never waits. */
  virtual size_t next(const FrameColumns& columns) = 0;

  /** Frames lost so far because `next` was not called in time. */
  virtual uint64_t dropped() = 0;

  /** Goes on with an interface of the same name when the one captured on is gone. Throws SourceError. */
  virtual void follow() = 0;
};

/** What SourceError says of a filter that cannot be compiled, of a link layer that this source does not know, and of time stamps. */
constexpr const char* bad_filter = "FILTER";
constexpr const char* unknown_link = "LINK";
constexpr const char* no_stamps = "STAMPS";

struct PacketSourceOptions {
  std::string device;
  /** In the language of pcap-filter(7), empty for none. */
  std::string filter;
  /** Room for frames not yet fetched. */
  size_t ring_bytes = 0;
  /** Sources of one device and one group (0 for none) share its frames: both directions of a flow go to the same. */
  uint16_t group = 0;
  /** Frames have the time at which the network card took them in, by the card's own clock. */
  bool hardware_times = false;
};

/** The source of the system this was built for. Throws SourceError. */
std::unique_ptr<PacketSource> open_packet_source(const PacketSourceOptions& options);

}  // namespace proclabel
