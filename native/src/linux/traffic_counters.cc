#include "linux/traffic_counters.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace proclabel {
namespace {

constexpr std::array<const char*, 4> files{"sockstat", "sockstat6", "snmp", "snmp6"};

/** The part of `text` from `begin` up to `end`, or up to its end; empty without `begin`. */
std::string_view between(std::string_view text, std::string_view begin, std::string_view end) {
  const size_t at = text.find(begin);
  return at == std::string_view::npos ? std::string_view() : text.substr(at, text.find(end, at + 1) - at);
}

/** The numbers behind `mark`: its second line, the first one names them. At most `count` of them. */
std::string_view numbers(std::string_view snmp, std::string_view mark, size_t count) {
  const size_t names = snmp.find(mark);
  const size_t at = names == std::string_view::npos ? names : snmp.find(mark, names + 1);
  if (at == std::string_view::npos) return {};
  const std::string_view line = snmp.substr(at, snmp.find('\n', at + 1) - at);
  size_t end = line.find(' ');
  for (size_t i = 0; i < count && end != std::string_view::npos; i++) end = line.find(' ', end + 1);
  return line.substr(0, end);
}

/** Nothing where a part is missing, but for IPv6, which a kernel may lack. */
std::string join(std::string_view a, std::string_view b, std::string_view c, std::string_view d = {}) {
  return a.empty() || b.empty() ? std::string() : std::string(a).append(b).append(c).append(d);
}

}  // namespace

std::string tcp_traffic(const NetworkText& text) {
  // RtoAlgorithm, RtoMin, RtoMax, MaxConn, ActiveOpens, PassiveOpens, AttemptFails, EstabResets, CurrEstab; then segments.
  constexpr size_t before_segments = 9;
  return join(numbers(text.snmp, "\nTcp:", before_segments), between(text.sockstat, "TCP:", " alloc"),
              between(text.sockstat6, "TCP6:", "\n"));
}

std::string udp_traffic(const NetworkText& text) {
  return join(numbers(text.snmp, "\nUdp:", SIZE_MAX), between(text.sockstat, "UDP:", " mem"),
              between(text.sockstat6, "UDP6:", "\n"), between(text.snmp6, "Udp6InDatagrams", "UdpLite6"));
}

TrafficCounters::TrafficCounters() {
  // Of this thread, which may be in another namespace than the process.
  for (size_t i = 0; i < files.size(); i++)
    files_[i] = open((std::string("/proc/thread-self/net/") + files[i]).c_str(), O_RDONLY | O_CLOEXEC);
}

TrafficCounters::~TrafficCounters() {
  for (const int file : files_)
    if (file >= 0) close(file);
}

TrafficCounters::Change TrafficCounters::take() {
  static thread_local std::array<std::array<char, 8192>, files.size()> texts;
  std::array<std::string_view, files.size()> read;
  for (size_t i = 0; i < files.size(); i++) {
    // The dearest of them tells nothing where there is no UDP socket of IPv6.
    if (files[i] == std::string_view("snmp6") && read[1].find("UDP6: inuse 0\n") != std::string_view::npos) continue;
    const ssize_t length = files_[i] < 0 ? 0 : pread(files_[i], texts[i].data(), texts[i].size(), 0);
    read[i] = std::string_view(texts[i].data(), std::max<ssize_t>(length, 0));
  }
  const NetworkText text{.snmp = read[2], .snmp6 = read[3], .sockstat = read[0], .sockstat6 = read[1]};
  std::string tcp = tcp_traffic(text), udp = udp_traffic(text);
  const Change change{tcp.empty() || tcp != tcp_, udp.empty() || udp != udp_};
  tcp_ = std::move(tcp);
  udp_ = std::move(udp);
  return change;
}

}  // namespace proclabel
