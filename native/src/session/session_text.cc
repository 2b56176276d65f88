#include "session/session_text.hh"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstring>

#include "session/digest.hh"

namespace proclabel::session {

namespace {

/** What a line takes besides the texts that are handed in. */
constexpr size_t fixed_bytes = 2048;
constexpr size_t packet_bytes = sizeof(R"({"len":-2147483648,"gap_us":-2147483648},)");

constexpr std::string_view end_reasons[] = {"null", "\"fin\"", "\"rst\"", "\"idle\"", "\"reuse\"", "\"shutdown\""};
constexpr std::string_view direction_bys[] = {"syn", "port", "first_packet"};
constexpr std::string_view no_names = R"("sni":null,"alpn":null,"ja4":null)";

constexpr uint8_t protocol_icmp = 1;
constexpr uint8_t protocol_icmp6 = 58;
constexpr uint8_t protocol_sctp = 132;

bool is_v4_mapped(const uint8_t* address) {
  return std::all_of(address, address + 10, [](uint8_t byte) { return byte == 0; }) && address[10] == 0xff &&
         address[11] == 0xff;
}

/** Writes what the caller has made sure to have room for. */
class Pen {
 public:
  explicit Pen(char* at) : at_(at) {}
  char* at() const { return at_; }

  Pen& operator<<(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }

  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  Pen& operator<<(Number number) {
    at_ = std::to_chars(at_, at_ + 20, number).ptr;
    return *this;
  }

  /** A time: whole microseconds. */
  Pen& operator<<(double number) { return *this << static_cast<int64_t>(number); }

  Pen& hex(std::span<const uint8_t> bytes) {
    constexpr char digits[] = "0123456789abcdef";
    for (const uint8_t byte : bytes) {
      *at_++ = digits[byte >> 4];
      *at_++ = digits[byte & 15];
    }
    return *this;
  }

  /** RFC 4648, of 20 bytes. */
  Pen& base64(std::span<const uint8_t, 20> bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < 21; i += 3) {
      const uint32_t group = bytes[i] << 16 | bytes[i + 1] << 8 | (i + 2 < 20 ? bytes[i + 2] : 0);
      for (int shift = 18; shift >= 0; shift -= 6) *at_++ = digits[group >> shift & 63];
    }
    at_[-1] = '=';
    return *this;
  }

  Pen& operator<<(const Address& address) {
    uint8_t bytes[16];
    std::memcpy(bytes, &address, sizeof bytes);
    if (!is_v4_mapped(bytes)) return groups(bytes);
    for (int i = 12; i < 16; i++) *this << static_cast<uint32_t>(bytes[i]) << (i < 15 ? "." : "");
    return *this;
  }

 private:
  /** The first longest run of two or more zero groups as `::`. */
  Pen& groups(const uint8_t* bytes) {
    const auto group = [bytes](int i) { return static_cast<uint32_t>(bytes[i * 2] << 8 | bytes[i * 2 + 1]); };
    int start = -1, length = 1;
    for (int i = 0; i < 8; i++) {
      int run = 0;
      while (i + run < 8 && group(i + run) == 0) run++;
      if (run > length) start = i, length = run;
    }
    for (int i = 0; i < 8; i++) {
      if (i == start) {
        *this << "::";
        i += length - 1;
        continue;
      }
      if (i > 0 && i != start + length) *at_++ = ':';
      at_ = std::to_chars(at_, at_ + 4, group(i), 16).ptr;
    }
    return *this;
  }

  char* at_;
};

/** An end as digests take it: address, then port, in network order. */
uint8_t* put_end(uint8_t* to, const Address& address, size_t skip, uint16_t port) {
  std::memcpy(to, reinterpret_cast<const uint8_t*>(&address) + skip, 16 - skip);
  to += 16 - skip;
  *to++ = static_cast<uint8_t>(port >> 8);
  *to++ = static_cast<uint8_t>(port);
  return to;
}

/** services/core/session-id.ts, of the empty host id. */
void write_session_id(Pen& pen, const Session& session) {
  uint8_t message[96];
  Pen head(reinterpret_cast<char*>(message));
  constexpr std::string_view zero("\0", 1);
  head << zero << session.protocol << zero << session.first_seen_us << zero;
  auto* at = reinterpret_cast<uint8_t*>(head.at());
  const int order = std::memcmp(&session.local, &session.remote, 16);
  const bool local_first = order < 0 || (order == 0 && session.local_port <= session.remote_port);
  const auto put = [&](bool local) {
    at = put_end(at, local ? session.local : session.remote, 0, local ? session.local_port : session.remote_port);
  };
  put(local_first);
  put(!local_first);
  const auto digest = sha256(message, static_cast<size_t>(at - message));
  pen.hex(std::span(digest).first<16>());
}

/** Whether an ICMP type has no counterpart, so that its flow keeps its direction. */
bool is_one_way(uint8_t protocol, uint16_t type) {
  constexpr uint16_t icmp[] = {0, 8, 9, 10, 13, 14, 15, 16, 17, 18};
  constexpr uint16_t icmp6[] = {128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145};
  if (protocol == protocol_icmp) return std::ranges::find(icmp, type) == std::end(icmp);
  return protocol == protocol_icmp6 && std::ranges::find(icmp6, type) == std::end(icmp6);
}

/** services/core/community-id.ts. */
void write_community_id(Pen& pen, const Session& session) {
  const bool by_remote = session.first_from_remote;
  const Address& sender = by_remote ? session.remote : session.local;
  const Address& receiver = by_remote ? session.local : session.remote;
  const uint16_t sender_port = by_remote ? session.remote_port : session.local_port;
  const uint16_t receiver_port = by_remote ? session.local_port : session.remote_port;
  const auto* local_bytes = reinterpret_cast<const uint8_t*>(&session.local);
  const auto* remote_bytes = reinterpret_cast<const uint8_t*>(&session.remote);
  const size_t skip = is_v4_mapped(local_bytes) && is_v4_mapped(remote_bytes) ? 12 : 0;
  const int order = std::memcmp(&sender, &receiver, 16);
  const bool is_later = order > 0 || (order == 0 && sender_port > receiver_port);
  const bool swap = is_later && !is_one_way(session.protocol, sender_port);
  uint8_t message[2 + 32 + 2 + 4] = {};
  uint8_t* at = message + 2;
  const auto put_address = [&](const Address& address) {
    std::memcpy(at, reinterpret_cast<const uint8_t*>(&address) + skip, 16 - skip);
    at += 16 - skip;
  };
  put_address(swap ? receiver : sender);
  put_address(swap ? sender : receiver);
  *at++ = session.protocol;
  *at++ = 0;
  constexpr uint8_t with_ports[] = {protocol_icmp, packet::protocol_tcp, packet::protocol_udp, protocol_icmp6,
                                    protocol_sctp};
  if (std::ranges::find(with_ports, session.protocol) != std::end(with_ports)) {
    for (const uint16_t port : {swap ? receiver_port : sender_port, swap ? sender_port : receiver_port}) {
      *at++ = static_cast<uint8_t>(port >> 8);
      *at++ = static_cast<uint8_t>(port);
    }
  }
  pen << "1:";
  pen.base64(sha1(message, static_cast<size_t>(at - message)));
}

void write_protocol(Pen& pen, uint8_t protocol) {
  if (protocol == packet::protocol_tcp) pen << "tcp";
  else if (protocol == packet::protocol_udp) pen << "udp";
  else if (protocol == protocol_icmp) pen << "icmp";
  else pen << protocol;
}

std::string_view truth(bool value) { return value ? "true" : "false"; }

}  // namespace

Ends ends_of(const Session& session) {
  if (session.is_in) return {session.remote, session.local};
  return {session.local, session.remote};
}

std::optional<size_t> write_line(std::span<char> to, const Session& session, const Judged& judged,
                                 std::string_view dns_name) {
  const bool has_sockets = session.protocol == packet::protocol_tcp || session.protocol == packet::protocol_udp;
  const std::string_view judgement = has_sockets ? judged.tcp_or_udp : judged.other;
  const std::string_view names = session.names ? std::string_view(*session.names) : no_names;
  const std::string_view tunnel = session.tunnel ? std::string_view(*session.tunnel) : "null";
  const size_t most = fixed_bytes + judgement.size() + names.size() + tunnel.size() + dns_name.size() +
                      session.splt_count * packet_bytes;
  if (most > to.size()) return std::nullopt;
  const auto [client, server] = ends_of(session);
  // The record is told from the end that opened the session.
  const bool swap = session.is_in;
  Pen pen(to.data());
  pen << R"({"session_id":")";
  write_session_id(pen, session);
  pen << R"(","revision":0,"state":"closed","host_id":null,"proto":")";
  write_protocol(pen, session.protocol);
  pen << R"(","local_ip":")" << client << R"(","local_port":)" << (swap ? session.remote_port : session.local_port)
      << R"(,"remote_ip":")" << server << R"(","remote_port":)" << (swap ? session.local_port : session.remote_port)
      << R"(,"direction":"out","direction_by":")" << direction_bys[static_cast<size_t>(session.direction_by)]
      << R"(","first_us":)" << session.first_us << R"(,"last_us":)" << session.last_us << R"(,"packets_out":)"
      << session.packets[swap] << R"(,"packets_in":)" << session.packets[!swap] << R"(,"bytes_out":)"
      << session.bytes[swap] << R"(,"bytes_in":)" << session.bytes[!swap] << R"(,"tcp_flags":)" << session.tcp_flags
      << R"(,"end_reason":)" << end_reasons[static_cast<size_t>(session.end_reason)] << R"(,"community_id":")";
  write_community_id(pen, session);
  pen << R"(","vlan":)";
  if (session.vlan == packet::no_vlan) pen << "null";
  else pen << session.vlan;
  pen << R"(,"tunnel":)" << tunnel << "," << judgement << "," << names << R"(,"dns_name":)" << dns_name
      << R"(,"peer_session_id":null,"capture_gap":)" << truth(session.capture_gap)
      << R"(,"agent_gap":false,"truncated_start":false,"splt":[)";
  for (uint32_t i = 0; i < session.splt_count; i++) {
    const auto [length, gap_us] = session.splt[i];
    pen << (i == 0 ? R"({"len":)" : R"(,{"len":)") << (swap ? -int64_t{length} : int64_t{length}) << R"(,"gap_us":)"
        << gap_us << "}";
  }
  pen << "]}\n";
  return static_cast<size_t>(pen.at() - to.data());
}

std::string address_text(const Address& address) {
  char text[48];
  Pen pen(text);
  pen << address;
  return std::string(text, pen.at());
}

}  // namespace proclabel::session
