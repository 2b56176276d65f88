#include "linux/trace_format.hh"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace proclabel {
namespace {

std::optional<uint32_t> number_after(std::string_view text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const char* begin = text.data() + at + mark.size();
  uint32_t number = 0;
  const auto result = std::from_chars(begin, text.data() + text.size(), number);
  return result.ec == std::errc() ? std::optional(number) : std::nullopt;
}

/** The name that a declaration such as `__u8 saddr[4]` or `__data_loc char[] filename` gives. */
std::string_view declared_name(std::string_view declaration) {
  const std::string_view name = declaration.substr(declaration.find_last_of(" *") + 1);
  return name.substr(0, name.find('['));
}

/** Numbers of any width, in the machine's order; the kernel changes a field's width from time to time. */
std::optional<uint64_t> number(const Slice& record, TraceField field) {
  switch (field.size) {
    case 1: return record.read<uint8_t>(field.offset);
    case 2: return record.read<uint16_t>(field.offset);
    case 4: return record.read<uint32_t>(field.offset);
    case 8: return record.read<uint64_t>(field.offset);
    default: return std::nullopt;
  }
}

constexpr Address mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::optional<Address> address(const Slice& record, TraceField field) {
  if (field.size == 16) return record.read<Address>(field.offset);
  const auto v4 = field.size == 4 ? record.read<std::array<uint8_t, 4>>(field.offset) : std::nullopt;
  if (!v4) return std::nullopt;
  Address mapped = mapped_prefix;
  std::copy(v4->begin(), v4->end(), mapped.begin() + 12);
  return mapped;
}

/** A text whose place and length are in the record (__data_loc), without the zero byte at its end. */
std::optional<std::string> text(const Slice& record, TraceField field) {
  const auto place = record.read<uint32_t>(field.offset);
  if (!place) return std::nullopt;
  const Slice bytes = record.part(*place & 0xffff, *place >> 16);
  std::string value;
  for (size_t i = 0; i < bytes.size(); i++) {
    const char letter = *bytes.read<char>(i);
    if (letter == 0) break;
    value += letter;
  }
  return value;
}

/** The fields of one record type, by their places in `names`. */
template <size_t count>
std::optional<std::array<TraceField, count>> find_fields(std::string_view format,
                                                         const std::array<const char*, count>& names) {
  std::array<TraceField, count> fields;
  for (size_t i = 0; i < count; i++) {
    const auto field = find_field(format, names[i]);
    if (!field) return std::nullopt;
    fields[i] = *field;
  }
  return fields;
}

template <typename Decoder>
std::unique_ptr<TraceDecoder> make(std::string_view format) {
  const auto fields = find_fields(format, Decoder::names);
  return fields ? std::make_unique<Decoder>(*fields) : nullptr;
}

template <size_t count>
class Decoder : public TraceDecoder {
 public:
  explicit Decoder(const std::array<TraceField, count>& fields) : fields(fields) {}

 protected:
  const std::array<TraceField, count> fields;
};

/** Bits of common_flags (include/linux/trace_events.h): a hardware or software interrupt was being served. */
constexpr uint64_t interrupt_flags = 0x08 | 0x10;

class StateDecoder : public Decoder<9> {
 public:
  static constexpr std::array<const char*, 9> names{"common_flags", "skaddr", "oldstate", "newstate", "protocol",
                                                    "sport", "dport", "saddr_v6", "daddr_v6"};
  using Decoder::Decoder;

  bool decode(const Slice& record, KernelEvent& event) const override {
    const auto flags = number(record, fields[0]), socket = number(record, fields[1]), from = number(record, fields[2]);
    const auto to = number(record, fields[3]), protocol = number(record, fields[4]);
    const auto local_port = number(record, fields[5]), remote_port = number(record, fields[6]);
    const auto local = address(record, fields[7]), remote = address(record, fields[8]);
    if (!flags || !socket || !from || !to || !local_port || !remote_port || !local || !remote) return false;
    if (protocol != IPPROTO_TCP) return false;
    event.kind = KernelEvent::Kind::tcp_state;
    event.in_interrupt = (*flags & interrupt_flags) != 0;
    event.socket = *socket;
    event.from = static_cast<TcpState>(*from);
    event.to = static_cast<TcpState>(*to);
    event.local_port = static_cast<uint16_t>(*local_port);
    event.remote_port = static_cast<uint16_t>(*remote_port);
    event.local = *local;
    event.remote = *remote;
    return true;
  }
};

/**
 * A route is looked up for every datagram of an unconnected socket and when a socket is connected, in the sender's
 * name, with the ports; the record of the sending itself (sock_send_length) names no end.
 */
class RouteDecoder : public Decoder<7> {
 public:
  static constexpr std::array<const char*, 7> names{"common_flags", "iif", "proto", "src", "dst", "sport", "dport"};
  using Decoder::Decoder;

  bool decode(const Slice& record, KernelEvent& event) const override {
    const auto flags = number(record, fields[0]), interface = number(record, fields[1]);
    const auto protocol = number(record, fields[2]);
    const auto local = address(record, fields[3]), remote = address(record, fields[4]);
    const auto local_port = number(record, fields[5]), remote_port = number(record, fields[6]);
    if (!flags || !local || !remote || !local_port || !remote_port || *local_port == 0) return false;
    // A route out is looked up as if the packet came from the loopback interface, whose number is 1.
    if (protocol != IPPROTO_UDP || interface != 1u || (*flags & interrupt_flags) != 0) return false;
    event.kind = KernelEvent::Kind::udp_send;
    event.local_port = static_cast<uint16_t>(*local_port);
    event.remote_port = static_cast<uint16_t>(*remote_port);
    event.local = *local;
    event.remote = *remote;
    return true;
  }
};

class ForkDecoder : public Decoder<2> {
 public:
  static constexpr std::array<const char*, 2> names{"pid", "clone_flags"};
  using Decoder::Decoder;

  bool decode(const Slice& record, KernelEvent& event) const override {
    constexpr uint64_t clone_thread = 0x10000, clone_new_network = 0x40000000;
    const auto child = number(record, fields[0]), flags = number(record, fields[1]);
    if (!child || !flags || (*flags & clone_thread) != 0) return false;
    event.kind = KernelEvent::Kind::fork;
    event.child = static_cast<int32_t>(*child);
    event.in_new_namespace = (*flags & clone_new_network) != 0;
    return true;
  }
};

class ExecDecoder : public Decoder<1> {
 public:
  static constexpr std::array<const char*, 1> names{"filename"};
  using Decoder::Decoder;

  bool decode(const Slice& record, KernelEvent& event) const override {
    auto filename = text(record, fields[0]);
    if (!filename) return false;
    event.kind = KernelEvent::Kind::exec;
    event.text = std::move(*filename);
    return true;
  }
};

/** Of a thread or of the whole process: who reads it compares pid and thread. */
class ExitDecoder : public Decoder<0> {
 public:
  static constexpr std::array<const char*, 0> names{};
  using Decoder::Decoder;

  bool decode(const Slice&, KernelEvent& event) const override {
    event.kind = KernelEvent::Kind::exit;
    return true;
  }
};

/** setns or unshare, by the thread that runs. */
class MoveDecoder : public Decoder<0> {
 public:
  static constexpr std::array<const char*, 0> names{};
  using Decoder::Decoder;

  bool decode(const Slice&, KernelEvent& event) const override {
    event.kind = KernelEvent::Kind::move;
    return true;
  }
};

}  // namespace

const std::array<Tracepoint, 8> tracepoints = {{
    {"sock/inet_sock_set_state", "protocol == 6", make<StateDecoder>, true},
    {"task/task_newtask", nullptr, make<ForkDecoder>, true},
    {"sched/sched_process_exec", nullptr, make<ExecDecoder>, true},
    {"sched/sched_process_exit", nullptr, make<ExitDecoder>, true},
    {"syscalls/sys_enter_setns", nullptr, make<MoveDecoder>, true},
    {"syscalls/sys_enter_unshare", nullptr, make<MoveDecoder>, true},
    {"fib/fib_table_lookup", "proto == 17 && iif == 1 && sport != 0", make<RouteDecoder>, false},
    {"fib6/fib6_table_lookup", "proto == 17 && iif == 1 && sport != 0", make<RouteDecoder>, false},
}};

std::optional<TraceField> find_field(std::string_view format, std::string_view name) {
  while (!format.empty()) {
    const std::string_view line = format.substr(0, format.find('\n'));
    format.remove_prefix(std::min(line.size() + 1, format.size()));
    const size_t at = line.find("field:");
    const size_t end = line.find(';');
    if (at == std::string_view::npos || end == std::string_view::npos || end < at) continue;
    if (declared_name(line.substr(at + 6, end - at - 6)) != name) continue;
    const auto offset = number_after(line, "offset:"), size = number_after(line, "size:");
    return offset && size ? std::optional(TraceField{*offset, *size}) : std::nullopt;
  }
  return std::nullopt;
}

uint16_t trace_id(std::string_view format) {
  const uint32_t id = number_after(format, "\nID: ").value_or(0);
  return id <= UINT16_MAX ? static_cast<uint16_t>(id) : 0;
}

}  // namespace proclabel
