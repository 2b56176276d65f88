#include "windows/etw_decoder.hh"

#include <algorithm>

#include "windows/table_rows.hh"

namespace proclabel {
namespace {

/** Ids of IPv6 are those of IPv4 and 16. */
constexpr uint16_t v6_offset = 16;

struct SocketEventId {
  uint16_t v4_id;
  EventKind kind;
  Protocol protocol;
};
constexpr SocketEventId socket_event_ids[] = {
    {12, EventKind::connect, Protocol::tcp}, {13, EventKind::close, Protocol::tcp}, {15, EventKind::accept, Protocol::tcp},
    {16, EventKind::connect, Protocol::tcp}, {42, EventKind::send, Protocol::udp},  {43, EventKind::receive, Protocol::udp},
};

EtwEnd read_end(Slice payload, size_t address_at, size_t port_at, bool is_v6) {
  EtwEnd end;
  if (is_v6) {
    end.address = payload.read<Address>(address_at).value_or(Address{});
  } else {
    const auto address = payload.read<std::array<uint8_t, 4>>(address_at).value_or(std::array<uint8_t, 4>{});
    end.address[10] = end.address[11] = 0xff;
    std::copy(address.begin(), address.end(), end.address.begin() + 12);
  }
  const auto port = payload.read<std::array<uint8_t, 2>>(port_at).value_or(std::array<uint8_t, 2>{});
  end.port = static_cast<uint16_t>(port[0] << 8 | port[1]);
  return end;
}

/** PID, size, daddr, saddr, dport, sport; the pid is that of the socket, which the header's need not be. */
std::optional<EtwEvent> decode_socket_event(const EtwRecord& record) {
  for (const SocketEventId& known : socket_event_ids) {
    const bool is_v6 = record.id == known.v4_id + v6_offset;
    if (!is_v6 && record.id != known.v4_id) continue;
    const size_t destination = 8, source = destination + (is_v6 ? 16 : 4), ports = source + (is_v6 ? 16 : 4);
    if (record.payload.size() < ports + 4) return std::nullopt;
    EtwEvent event;
    event.kind = known.kind;
    event.protocol = known.protocol;
    event.pid = *record.payload.read<uint32_t>(0);
    event.destination = read_end(record.payload, destination, ports, is_v6);
    event.source = read_end(record.payload, source, ports + 2, is_v6);
    return event;
  }
  return std::nullopt;
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
  } else if (code < 0x10000) {
    text += {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
             static_cast<char>(0x80 | (code & 0x3f))};
  } else {
    text += {static_cast<char>(0xf0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3f)),
             static_cast<char>(0x80 | (code >> 6 & 0x3f)), static_cast<char>(0x80 | (code & 0x3f))};
  }
}

/** UTF-16 up to a zero; half a surrogate pair becomes U+FFFD. */
std::string read_text(Slice payload, size_t at) {
  std::string text;
  for (; const auto unit = payload.read<uint16_t>(at); at += 2) {
    if (*unit == 0) break;
    const uint16_t next = payload.read<uint16_t>(at + 2).value_or(0);
    const bool is_high = *unit >= 0xd800 && *unit < 0xdc00, is_low = *unit >= 0xdc00 && *unit < 0xe000;
    if (is_high && next >= 0xdc00 && next < 0xe000) {
      append_utf8(text, 0x10000 + ((uint32_t{*unit} - 0xd800) << 10) + (next - 0xdc00));
      at += 2;
    } else {
      append_utf8(text, is_high || is_low ? 0xfffd : *unit);
    }
  }
  return text;
}

/** Bytes of a SID: revision, number of sub-authorities, six bytes of authority, four for each sub-authority. */
size_t sid_size(Slice payload, size_t at) { return 8 + 4 * size_t{payload.read<uint8_t>(at + 1).value_or(0)}; }

/**
 * Start: ProcessID, CreateTime, ParentProcessID, SessionID, [Flags,] ImageName. From version 3 on ProcessID,
 * ProcessSequenceNumber, CreateTime, ParentProcessID, ParentProcessSequenceNumber, SessionID, Flags, ProcessTokenElevationType,
 * ProcessTokenIsElevated, MandatoryLabel, ImageName. The rundown is the same, its versions two behind. Stop begins like start,
 * its versions one behind.
 */
std::optional<EtwEvent> decode_process_event(const EtwRecord& record) {
  const bool is_stop = record.id == 2, is_rundown = record.id == 15;
  if (record.id != 1 && !is_stop && !is_rundown) return std::nullopt;
  const int version = record.version + (is_stop ? 1 : is_rundown ? 2 : 0);
  const bool is_long = version >= 3;
  const Slice payload = record.payload;
  const auto pid = payload.read<uint32_t>(0);
  const auto created = payload.read<uint64_t>(is_long ? 12 : 4);
  const auto parent = payload.read<uint32_t>(is_long ? 20 : 12);
  if (!pid || !created || !parent) return std::nullopt;
  EtwEvent event;
  event.kind = is_stop ? EventKind::process_exit : EventKind::process_start;
  event.pid = *pid;
  event.start_us = file_time_us(*created);
  if (is_stop) return event;
  event.parent_pid = *parent;
  event.image = read_text(payload, is_long ? 48 + sid_size(payload, 48) : version >= 1 ? 24 : 20);
  return event;
}

}  // namespace

std::optional<EtwEvent> decode(const EtwRecord& record) {
  return record.provider == EtwProvider::network ? decode_socket_event(record) : decode_process_event(record);
}

bool source_is_local(const EtwEvent& event, bool is_local_source, bool is_local_destination) {
  if (is_local_source != is_local_destination) return is_local_source;
  // Both, as over loopback, or none, as of an address that just came or went.
  return event.kind != EventKind::receive;
}

}  // namespace proclabel
