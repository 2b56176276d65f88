#pragma once

#include <cstdint>

#include "packet/flow_table.hh"
#include "packet/packet.hh"
#include "slice.hh"

namespace proclabel::packet {

/**
 * Whether a packet may tell the name behind its flow and so has to be looked at by WireNames (services/core/decode/names.ts).
 * The answer no is certain: then nothing but counters and sequence numbers would have changed there, and these are kept
 * here, in `state`. After a yes the flow is the caller's: every packet that may matter is a yes until the caller hands the
 * state back, because what follows depends on what was found.
 */
bool wants_name(NameState& state, const Packet& packet, Slice payload, bool from_low);

/** True while the bytes, however few, may be the beginning of TLS records that hold a ClientHello (tls.ts: mayBeginHello). */
bool may_begin_hello(Slice bytes);

/** A long header of a QUIC version whose Initial packets can be opened (quic.ts: mayBeQuic). */
bool may_be_quic(Slice bytes);

}  // namespace proclabel::packet
