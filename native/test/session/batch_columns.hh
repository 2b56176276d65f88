#pragma once

#include "packet/batch_builder.hh"
#include "session/session_table.hh"

/** The columns of a batch without peers. */
inline proclabel::session::BatchColumns columns_of(const proclabel::packet::Batch& batch) {
  const uint8_t* at = batch.memory.get();
  const auto next = [&at](size_t bytes) {
    const std::span<const uint8_t> column(at, bytes);
    at += bytes;
    return column;
  };
  const size_t flows = batch.flows, packets = batch.packets;
  const auto address = next(flows * 32), port = next(flows * 4), protocol = next(flows), vlan = next(flows * 2);
  const auto tunnel = next(flows * 2), flow = next(packets * 2), time = next(packets * 4);
  next(packets * 4);
  const auto length = next(packets * 4);
  next(packets * 4);
  const auto flags = next(packets), direction = next(packets), sequence = next(batch.syns * 4);
  return {address, port, protocol, vlan, tunnel, flow, time, length, flags, direction, sequence};
}
