/** Packets are left to `cap` (services/capture/open-interface.ts). */
#include "packet_source.hh"

namespace proclabel {

std::unique_ptr<PacketSource> open_packet_source(const PacketSourceOptions&) {
  throw SourceError("there is no source of packets of our own on Windows", "ENOTSUP");
}

}  // namespace proclabel
