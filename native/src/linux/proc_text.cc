#include "linux/proc_text.hh"

#include <charconv>

namespace proclabel {
namespace {

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

/** The part up to `separator`, which is taken off `text` with it. */
std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return head;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

std::optional<ProcessStat> parse_stat(std::string_view text) {
  // The name may hold blanks and parentheses; nothing behind its last parenthesis does.
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  ProcessStat stat;
  stat.command = text.substr(open + 1, close - open - 1);
  std::string_view rest = text.substr(close + 1);
  if (rest.empty() || rest[0] != ' ') return std::nullopt;
  rest.remove_prefix(1);
  constexpr int first_field = 3, parent_field = 4, start_field = 22;
  for (int field = first_field; field <= start_field; field++) {
    const std::string_view value = take_until(rest, ' ');
    if (field == parent_field) {
      const auto parent = parse_number<int32_t>(value);
      if (!parent) return std::nullopt;
      stat.parent_pid = *parent;
    } else if (field == start_field) {
      const auto ticks = parse_number<uint64_t>(value);
      if (!ticks) return std::nullopt;
      stat.start_ticks = *ticks;
    }
  }
  return stat;
}

uint32_t parse_socket_link(std::string_view link) {
  constexpr std::string_view prefix = "socket:[";
  if (!link.starts_with(prefix) || !link.ends_with(']')) return 0;
  return parse_number<uint32_t>(link.substr(prefix.size(), link.size() - prefix.size() - 1)).value_or(0);
}

std::string_view container_id(std::string_view cgroup_text) {
  constexpr size_t id_length = 64;
  size_t run = 0;
  for (size_t i = 0; i <= cgroup_text.size(); i++) {
    if (i < cgroup_text.size() && is_hex(cgroup_text[i])) {
      run++;
    } else {
      if (run == id_length) return cgroup_text.substr(i - id_length, id_length);
      run = 0;
    }
  }
  return {};
}

std::string pod_uid(std::string_view cgroup_text) {
  constexpr std::string_view mark = "pod", uuid = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  constexpr size_t static_length = 32;
  for (size_t at = cgroup_text.find(mark); at != std::string_view::npos; at = cgroup_text.find(mark, at + 1)) {
    const std::string_view rest = cgroup_text.substr(at + mark.size());
    std::string uid;
    for (const char c : rest.substr(0, uuid.size())) {
      const bool is_dash = uid.size() < uuid.size() && uuid[uid.size()] == '-';
      if (is_dash && (c == '-' || c == '_')) uid += '-';
      else if (is_hex(c)) uid += c;
      else break;
    }
    const bool is_uuid = uid.size() == uuid.size() && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-';
    if (is_uuid || (uid.size() == static_length && uid.find('-') == std::string::npos)) return uid;
  }
  return {};
}

std::string pod_name_of(std::string_view folder, std::string_view uid) {
  // Neither names of Kubernetes nor uids hold an underscore.
  const std::string_view space = take_until(folder, '_'), name = take_until(folder, '_');
  if (folder != uid || space.empty() || name.empty()) return {};
  return std::string(space) + '/' + std::string(name);
}

std::optional<uint32_t> effective_user(std::string_view status_text) {
  constexpr std::string_view mark = "\nUid:\t";
  const size_t at = status_text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  status_text.remove_prefix(at + mark.size());
  take_until(status_text, '\t');
  return parse_number<uint32_t>(take_until(status_text, '\t'));
}

std::string_view systemd_unit(std::string_view cgroup_text) {
  while (!cgroup_text.empty()) {
    std::string_view path = take_until(cgroup_text, '\n');
    take_until(path, ':');
    const std::string_view controllers = take_until(path, ':');
    if (!controllers.empty() && controllers != "name=systemd") continue;
    // The innermost unit; the service manager of a user (user@1000.service) says nothing about the program.
    for (size_t end = path.size(); end > 0;) {
      const size_t slash = path.rfind('/', end - 1);
      const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
      const std::string_view part = path.substr(begin, end - begin);
      if (part.ends_with(".service") && !part.starts_with("user@")) return part;
      end = slash == std::string_view::npos ? 0 : slash;
    }
  }
  return {};
}

std::string_view executable_path(std::string_view link) {
  constexpr std::string_view deleted = " (deleted)";
  if (link.ends_with(deleted)) link.remove_suffix(deleted.size());
  return link;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace proclabel
