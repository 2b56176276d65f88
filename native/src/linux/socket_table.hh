#pragma once

#include <vector>

#include "linux/sock_diag.hh"
#include "linux/traffic_counters.hh"

namespace proclabel {

/** The sockets of the network namespace it was made in, as they were when they were last read. */
class SocketTable {
 public:
  /**
   * Reads them; false where nothing was read, because this is a `quick` look and the counters show no traffic since the last
   * one. What that can miss until it is read in full has not sent or received anything: a listener in place of another.
   * Throws SourceError.
   */
  bool refresh(bool quick) {
    // Before the sockets, so that what comes in between shows the next time.
    const auto change = counters_.take();
    if (!quick || change.tcp) read(Protocol::tcp, tcp_);
    if (!quick || change.udp) read(Protocol::udp, udp_);
    return !quick || change.tcp || change.udp;
  }

  template <typename Take>
  void for_each(Take take) const {
    for (const auto* rows : {&tcp_, &udp_})
      for (const DiagRow& row : *rows) take(row);
  }

 private:
  void read(Protocol protocol, std::vector<DiagRow>& rows) {
    rows.clear();
    diag_.dump(protocol, rows);
  }

  SockDiag diag_;
  TrafficCounters counters_;
  std::vector<DiagRow> tcp_, udp_;
};

}  // namespace proclabel
