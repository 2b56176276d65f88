#include "annotate/pcapng_writer.hh"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace proclabel::annotate {

namespace {

constexpr uint32_t section_header = 0x0a0d'0d0a;
constexpr uint32_t interface_description = 1;
constexpr uint32_t enhanced_packet = 6;
/** Apple's: the pid, then the name as option 2. */
constexpr uint32_t process_event = 0x8000'0001;

constexpr uint16_t option_end = 0;
constexpr uint16_t option_comment = 1;
constexpr uint16_t option_process_name = 2;
/** Of a packet: the place of its process event block, from 0. */
constexpr uint16_t option_process_event = 0x8001;

constexpr size_t packet_head_bytes = 28;
constexpr size_t block_bytes = 12;

constexpr size_t padded(size_t bytes) { return (bytes + 3) & ~size_t{3}; }
/** A longer value is cut. */
std::string_view option_value(std::string_view value) { return value.substr(0, 65'535); }

}  // namespace

PcapngWriter::PcapngWriter(std::span<uint8_t> room, const std::vector<PacketProcess>& processes,
                           std::function<void(size_t)> write)
    : room_(room), processes_(processes), write_(std::move(write)) {
  if (room_.size() < least_room) throw std::invalid_argument("too little room for a block of pcapng");
  put_block(section_header, {0x1a2b'3c4d, 1, 0xffff'ffff, 0xffff'ffff});
}

void PcapngWriter::packet(const Frame& frame, std::span<const SharedNote* const> notes) {
  const uint32_t interface = interface_of(frame.link_type);
  size_t options = notes.empty() ? 0 : 4;
  for (const SharedNote* note : notes) {
    options += 4 + padded(option_value((*note)->comment).size());
    if ((*note)->process == Note::no_process) continue;
    place_of((*note)->process);
    options += 8;
  }
  const size_t captured = frame.bytes.size();
  const size_t length = packet_head_bytes + padded(captured) + options + 4;
  make_room(length);
  const auto time = static_cast<uint64_t>(static_cast<int64_t>(frame.time_us));
  const uint32_t head[] = {enhanced_packet,
                           static_cast<uint32_t>(length),
                           interface,
                           static_cast<uint32_t>(time >> 32),
                           static_cast<uint32_t>(time),
                           static_cast<uint32_t>(captured),
                           frame.wire_length};
  std::memcpy(room_.data() + at_, head, sizeof head);
  at_ += sizeof head;
  std::memcpy(room_.data() + at_, frame.bytes.data(), captured);
  at_ += captured;
  pad();
  for (const SharedNote* note : notes) {
    put_option(option_comment, (*note)->comment);
    if ((*note)->process == Note::no_process) continue;
    put(option_process_event | 4u << 16);
    put(places_.at((*note)->process));
  }
  if (!notes.empty()) put(option_end);
  put(static_cast<uint32_t>(length));
}

void PcapngWriter::flush() {
  if (at_ > 0) write_(at_);
  at_ = 0;
}

void PcapngWriter::put(uint32_t word) {
  std::memcpy(room_.data() + at_, &word, sizeof word);
  at_ += sizeof word;
}

void PcapngWriter::put(std::string_view bytes) {
  std::memcpy(room_.data() + at_, bytes.data(), bytes.size());
  at_ += bytes.size();
}

/** Blocks and options begin at multiples of four. */
void PcapngWriter::pad() {
  while (at_ % 4 != 0) room_[at_++] = 0;
}

void PcapngWriter::put_option(uint16_t code, std::string_view value) {
  const std::string_view kept = option_value(value);
  put(code | static_cast<uint32_t>(kept.size()) << 16);
  put(kept);
  pad();
}

void PcapngWriter::put_block(uint32_t type, std::initializer_list<uint32_t> words, std::string_view process_name) {
  size_t length = block_bytes + words.size() * 4;
  if (!process_name.empty()) length += 8 + padded(option_value(process_name).size());
  make_room(length);
  put(type);
  put(static_cast<uint32_t>(length));
  for (const uint32_t word : words) put(word);
  if (!process_name.empty()) {
    put_option(option_process_name, process_name);
    put(option_end);
  }
  put(static_cast<uint32_t>(length));
}

void PcapngWriter::make_room(size_t bytes) {
  if (at_ + bytes > room_.size()) flush();
  if (bytes > room_.size()) throw std::length_error("a block of pcapng has no room");
}

uint32_t PcapngWriter::interface_of(uint16_t link_type) {
  const auto [found, is_new] = interfaces_.try_emplace(link_type, interfaces_.size());
  if (is_new) put_block(interface_description, {link_type, 0});
  return found->second;
}

uint32_t PcapngWriter::place_of(uint32_t process) {
  const auto [found, is_new] = places_.try_emplace(process, places_.size());
  if (is_new) put_block(process_event, {processes_[process].pid}, processes_[process].name);
  return found->second;
}

}  // namespace proclabel::annotate
