#include "annotate/session_line.hh"

#ifdef _WIN32
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#endif

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>

namespace proclabel::annotate {

namespace {

/** JSON values (RFC 8259), skimmed: how they nest is followed, what stands inside is not checked. */
class JsonText {
 public:
  explicit JsonText(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool take(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }

  /** The next value as it stands; empty where there is none. */
  std::string_view value() {
    skip_space();
    const char* const begin = at_;
    if (at_ == end_) return {};
    if (*at_ == '"')
      skip_string();
    else if (*at_ == '{' || *at_ == '[')
      skip_nested();
    else
      while (at_ != end_ && std::strchr(",]} \t\r", *at_) == nullptr) at_++;
    return {begin, static_cast<size_t>(at_ - begin)};
  }

  bool is_at_end() {
    skip_space();
    return at_ == end_;
  }

 private:
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) at_++;
  }

  void skip_string() {
    for (at_++; at_ != end_; at_++) {
      if (*at_ == '"') {
        at_++;
        return;
      }
      if (*at_ == '\\' && at_ + 1 != end_) at_++;
    }
    is_broken_ = true;
  }

  void skip_nested() {
    size_t depth = 0;
    while (at_ != end_) {
      const char c = *at_;
      if (c == '"') {
        skip_string();
        continue;
      }
      at_++;
      if (c == '{' || c == '[') depth++;
      if ((c == '}' || c == ']') && --depth == 0) return;
    }
    is_broken_ = true;
  }

  const char* at_;
  const char* end_;
  bool is_broken_ = false;

 public:
  /** The text ended within a value. */
  bool is_broken() const { return is_broken_; }
};

/** The values of the fields of these names, each as it stands; absent ones stay empty. False for what is no object. */
bool read_object(std::string_view text, std::span<const std::string_view> names, std::span<std::string_view> values) {
  JsonText json(text);
  if (!json.take('{')) return false;
  if (json.take('}')) return json.is_at_end();
  do {
    const std::string_view name = json.value();
    if (name.size() < 2 || name.front() != '"' || !json.take(':')) return false;
    const std::string_view value = json.value();
    if (value.empty() || json.is_broken()) return false;
    const std::string_view bare = name.substr(1, name.size() - 2);
    for (size_t i = 0; i < names.size(); i++)
      if (names[i] == bare) values[i] = value;
  } while (json.take(','));
  return json.take('}') && json.is_at_end();
}

enum Field : size_t {
  session_id,
  state,
  proto,
  local_ip,
  remote_ip,
  direction,
  last_text = direction,
  revision,
  local_port,
  remote_port,
  first_us,
  last_us,
  packets_out,
  packets_in,
  bytes_out,
  bytes_in,
  tcp_flags,
  last_number = tcp_flags,
  evidence,
  splt,
  label,
  stage,
  confidence,
  unknown_cause,
  host_id,
  field_count,
};

constexpr std::array<std::string_view, field_count> field_names = {
    "session_id",  "state",      "proto",     "local_ip", "remote_ip", "direction", "revision", "local_port",
    "remote_port", "first_us",   "last_us",   "packets_out", "packets_in", "bytes_out", "bytes_in", "tcp_flags",
    "evidence",    "splt",       "label",     "stage",    "confidence", "unknown_cause", "host_id",
};
constexpr std::array<std::string_view, 2> label_names = {"process", "pid"};

bool is_text(std::string_view value) { return value.size() >= 2 && value.front() == '"' && value.back() == '"'; }
std::string_view text_of(std::string_view value) { return value.substr(1, value.size() - 2); }

template <typename T>
std::optional<T> number_of(std::string_view text) {
  T number;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

std::optional<packet::Address> address_of(std::string_view text) {
  char ended[64] = {};
  if (text.size() >= sizeof ended) return std::nullopt;
  text.copy(ended, text.size());
  packet::Address address;
  if (inet_pton(AF_INET6, ended, &address) == 1) return address;
  uint32_t v4;
  if (inet_pton(AF_INET, ended, &v4) != 1) return std::nullopt;
  return packet::Address{0, 0xffff'0000 | static_cast<uint64_t>(v4) << 32};
}

std::optional<uint8_t> protocol_of(std::string_view text) {
  if (text == "tcp") return packet::protocol_tcp;
  if (text == "udp") return packet::protocol_udp;
  if (text == "icmp") return 1;
  return number_of<uint8_t>(text);
}

}  // namespace

bool read_session_line(std::string_view line, Session& session, std::string& facts) {
  std::array<std::string_view, field_count> fields;
  if (!read_object(line, field_names, fields)) return false;
  for (size_t i = 0; i <= last_text; i++)
    if (!is_text(fields[i])) return false;
  std::array<double, last_number + 1> numbers{};
  for (size_t i = last_text + 1; i <= last_number; i++) {
    const auto number = number_of<double>(fields[i]);
    if (!number || !std::isfinite(*number)) return false;
    numbers[i] = *number;
  }
  if (fields[evidence].empty() || std::strchr("{[n", fields[evidence].front()) == nullptr) return false;
  if (fields[splt].empty() || fields[splt].front() != '[') return false;

  const auto local = address_of(text_of(fields[local_ip])), remote = address_of(text_of(fields[remote_ip]));
  const auto protocol = protocol_of(text_of(fields[proto]));
  const std::string_view id = text_of(fields[session_id]);
  if (!local || !remote || !protocol || id.size() > session.id.size()) return false;
  if (numbers[revision] < 0 || numbers[revision] > INT32_MAX) return false;
  for (const Field port : {local_port, remote_port})
    if (numbers[port] < 0 || numbers[port] > UINT16_MAX) return false;
  packet::Packet packet;
  packet.source = *local;
  packet.destination = *remote;
  packet.source_port = static_cast<uint16_t>(numbers[local_port]);
  packet.destination_port = static_cast<uint16_t>(numbers[remote_port]);
  packet.protocol = *protocol;

  std::array<std::string_view, label_names.size()> owner;
  const std::string_view judged = fields[label];
  if (!judged.empty() && judged != "null" && (!read_object(judged, label_names, owner) || !is_text(owner[0])))
    return false;
  session.flow = packet::FlowKey(packet);
  session.first_us = numbers[first_us];
  session.last_us = numbers[last_us];
  session.revision = static_cast<int32_t>(numbers[revision]);
  session.id_length = static_cast<uint8_t>(id.size());
  id.copy(session.id.data(), id.size());
  facts.assign(1, '[');
  for (const std::string_view fact :
       {owner[0], owner[1], fields[stage], fields[confidence], fields[unknown_cause], fields[host_id]}) {
    if (facts.size() > 1) facts += ',';
    facts += fact.empty() ? "null" : fact;
  }
  facts += ']';
  return true;
}

void LineSplitter::add(std::string_view bytes) {
  for (size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    if (held_.empty() && !is_too_long_) {
      if (end > 0) take_(bytes.substr(0, end));
    } else {
      hold(bytes.substr(0, end));
      this->end();
    }
    bytes.remove_prefix(end + 1);
  }
  hold(bytes);
}

void LineSplitter::end() {
  if (!held_.empty() || is_too_long_) take_(held_);
  held_.clear();
  is_too_long_ = false;
}

void LineSplitter::hold(std::string_view part) {
  is_too_long_ = is_too_long_ || held_.size() + part.size() > most_bytes;
  if (is_too_long_)
    held_.clear();
  else
    held_ += part;
}

}  // namespace proclabel::annotate
