#include <algorithm>

#include "event_source.hh"
#include "linux/bpf/bpf_tap.hh"
#include "linux/clock.hh"
#include "linux/perf_tap.hh"
#include "linux/process_identity.hh"
#include "linux/socket_tracker.hh"

namespace proclabel {
namespace {

class LinuxEvents : public EventSource {
 public:
  LinuxEvents(std::unique_ptr<EventTap> tap, std::shared_ptr<NetworkNamespaces> others)
      : tap_(std::move(tap)), tracker_(network_namespace(0), std::move(others)) {
    tracker_.processes().read_all();
  }

  bool complete() const override { return tap_->complete(); }

  const EventBatch& read() override {
    const ClockPair now = read_clocks();
    batch_.until_us = now.wall_us;
    const int64_t wall_offset_ns = (now.wall_us - now.monotonic_us) * 1000;
    batch_.events.clear();
    told_.clear();
    batch_.lost = tap_->read(told_);
    tracker_.apply(told_, batch_.lost > 0, wall_offset_ns, batch_.events);
    // A connect is told when it is through, and is of the time when it began.
    std::stable_sort(batch_.events.begin(), batch_.events.end(),
                     [](const SocketEvent& a, const SocketEvent& b) { return a.time_us < b.time_us; });
    return batch_;
  }

  void forget() override { tracker_.forget(); }

 private:
  std::unique_ptr<EventTap> tap_;
  SocketTracker tracker_;
  std::vector<KernelEvent> told_;
  EventBatch batch_;
};

}  // namespace

std::unique_ptr<EventSource> open_event_source(const std::string& mechanism, size_t buffer_bytes, bool all_namespaces) {
  auto others = all_namespaces ? NetworkNamespaces::shared() : nullptr;
  if (mechanism == "ebpf") return std::make_unique<LinuxEvents>(open_bpf_tap(buffer_bytes), std::move(others));
  if (mechanism == "tracepoint") return std::make_unique<LinuxEvents>(open_perf_tap(buffer_bytes), std::move(others));
  throw SourceError("there is no source of kernel events called " + mechanism, "EINVAL");
}

}  // namespace proclabel
