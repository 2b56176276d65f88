#pragma once

#include <cstddef>
#include <cstdint>

#include "packet_source.hh"

namespace proclabel {

/** Bytes of a VLAN tag, which the kernel keeps apart; a ring leaves so much room before a frame. */
constexpr size_t vlan_tag_bytes = 4;

/**
 * Writes the rows of the frames in a block of a TPACKET_V3 ring that the kernel has handed over, `block` of `memory`; how many
 * they are. VLAN tags are put back into their frames. What the block says of itself is checked against its bytes.
 */
size_t read_block(std::span<uint8_t> memory, size_t block, size_t block_bytes, uint16_t link_type,
                  const FrameColumns& columns);

}  // namespace proclabel
