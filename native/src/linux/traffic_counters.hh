#pragma once

#include <array>
#include <string>
#include <string_view>

namespace proclabel {

/** What /proc/net tells of a network namespace; `sockstat` and `snmp` with their twins for IPv6. */
struct NetworkText {
  std::string_view snmp, snmp6, sockstat, sockstat6;
};

/**
 * What changes when a TCP socket is connected, accepted or ended, or one more or less is there (RFC 4022: tcpActiveOpens to
 * tcpCurrEstab); when a UDP socket sends or receives (RFC 4113), or one more or less is there. Empty where a text lacks it.
 */
std::string tcp_traffic(const NetworkText& text);
std::string udp_traffic(const NetworkText& text);

/** The counters of the network namespace it was made in. */
class TrafficCounters {
 public:
  TrafficCounters();
  ~TrafficCounters();
  TrafficCounters(const TrafficCounters&) = delete;
  TrafficCounters& operator=(const TrafficCounters&) = delete;

  struct Change {
    bool tcp = true, udp = true;
  };

  /** Whether there was traffic since the last call that a socket not in the table by then may have made. */
  Change take();

 private:
  std::array<int, 4> files_;
  std::string tcp_, udp_;
};

}  // namespace proclabel
