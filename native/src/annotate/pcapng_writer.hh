#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "annotate/packet_note.hh"

namespace proclabel::annotate {

/** A frame as far as it is written, and what its record says of it. */
struct Frame {
  std::span<const uint8_t> bytes;
  uint32_t wire_length;
  /** Whole microseconds since the epoch. */
  double time_us;
  uint16_t link_type;
};

/**
 * Writes pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each link type, times in microseconds. Processes are told in
 * Apple's process event blocks, as Wireshark's wiretap/pcapng-darwin.c reads them.
 */
class PcapngWriter {
 public:
  /** Any block fits in. */
  static constexpr size_t least_room = 1 << 19;

  /** `write` is called when so much of `room` has been filled. Notes name processes by their place in `processes`, which may grow. */
  PcapngWriter(std::span<uint8_t> room, const std::vector<PacketProcess>& processes, std::function<void(size_t)> write);

  void packet(const Frame& frame, std::span<const SharedNote* const> notes);
  void flush();

 private:
  void put(uint32_t word);
  void put(std::string_view bytes);
  void pad();
  void put_option(uint16_t code, std::string_view value);
  void put_block(uint32_t type, std::initializer_list<uint32_t> words, std::string_view process_name = {});
  void make_room(size_t bytes);
  uint32_t interface_of(uint16_t link_type);
  /** Place of the process's block in the file. */
  uint32_t place_of(uint32_t process);

  std::span<uint8_t> room_;
  size_t at_ = 0;
  const std::vector<PacketProcess>& processes_;
  std::function<void(size_t)> write_;
  /** By LINKTYPE_ value. */
  std::unordered_map<uint16_t, uint32_t> interfaces_;
  std::unordered_map<uint32_t, uint32_t> places_;
};

}  // namespace proclabel::annotate
