#include "linux/packet_ring.hh"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include <cstring>

namespace proclabel {

namespace {

constexpr uint16_t link_type_ethernet = 1;
constexpr size_t mac_addresses_bytes = 12;
constexpr uint32_t max_wire_length = 0x7fffffff;

/** Puts the tag between the addresses and the type, and moves the addresses to before it. */
void put_tag_back(uint8_t* frame, const tpacket3_hdr& header) {
  const bool has_type = (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
  const uint16_t tag[2] = {htons(has_type ? header.hv1.tp_vlan_tpid : ETH_P_8021Q),
                           htons(static_cast<uint16_t>(header.hv1.tp_vlan_tci))};
  std::memmove(frame - vlan_tag_bytes, frame, mac_addresses_bytes);
  std::memcpy(frame - vlan_tag_bytes + mac_addresses_bytes, tag, sizeof tag);
}

}  // namespace

size_t read_block(std::span<uint8_t> memory, size_t block, size_t block_bytes, uint16_t link_type,
                  const FrameColumns& columns) {
  const size_t begin = block * block_bytes;
  uint8_t* const bytes = memory.data() + begin;
  tpacket_block_desc descriptor;
  std::memcpy(&descriptor, bytes, sizeof descriptor);
  const uint32_t frames = descriptor.hdr.bh1.num_pkts;
  size_t row = 0;
  size_t at = descriptor.hdr.bh1.offset_to_first_pkt;
  for (uint32_t i = 0; i < frames && row < columns.offset.size(); i++) {
    tpacket3_hdr header;
    if (at > block_bytes || block_bytes - at < sizeof header) break;
    std::memcpy(&header, bytes + at, sizeof header);
    size_t offset = at + header.tp_mac;
    size_t captured = header.tp_snaplen;
    uint32_t wire_length = header.tp_len;
    if (header.tp_mac < sizeof header + vlan_tag_bytes || offset > block_bytes || block_bytes - offset < captured) break;
    const bool is_tagged = (header.tp_status & TP_STATUS_VLAN_VALID) != 0 || header.hv1.tp_vlan_tci != 0;
    if (is_tagged && link_type == link_type_ethernet && captured >= mac_addresses_bytes) {
      put_tag_back(bytes + offset, header);
      offset -= vlan_tag_bytes;
      captured += vlan_tag_bytes;
      wire_length += vlan_tag_bytes;
    }
    columns.offset[row] = static_cast<int32_t>(begin + offset);
    columns.captured[row] = static_cast<int32_t>(captured);
    columns.wire_length[row] = static_cast<int32_t>(
        wire_length < captured ? captured : wire_length > max_wire_length ? max_wire_length : wire_length);
    columns.time_us[row] = static_cast<double>(header.tp_sec) * 1e6 + static_cast<double>(header.tp_nsec / 1000);
    columns.link_type[row] = link_type;
    row++;
    at += header.tp_next_offset;
  }
  return row;
}

}  // namespace proclabel
