#include "linux/perf_tap.hh"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "linux/descriptor.hh"
#include "linux/kernel_files.hh"
#include "linux/perf_ring.hh"
#include "linux/system_error.hh"
#include "linux/trace_format.hh"

namespace proclabel {
namespace {

/** Where the tracepoints are described. */
std::string find_tracefs() {
  for (const bool mounted : {false, true}) {
    for (const char* place : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
      const std::string events = std::string(place) + "/events/";
      if (access((events + tracepoints[0].name).c_str(), X_OK) == 0) return events;
    }
    if (mounted || mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) < 0) break;
  }
  throw system_error("cannot read the kernel's tracepoints in /sys/kernel/tracing", errno);
}

/** Numbers of a list such as `0-3,8`. */
std::vector<int> parse_cpus(const std::string& list) {
  std::vector<int> cpus;
  const char* at = list.c_str();
  while (*at >= '0' && *at <= '9') {
    char* end;
    const long first = strtol(at, &end, 10);
    const long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
    for (long cpu = first; cpu <= last; cpu++) cpus.push_back(static_cast<int>(cpu));
    at = *end == ',' ? end + 1 : end;
  }
  return cpus;
}

class PerfTap : public EventTap {
 public:
  explicit PerfTap(size_t buffer_bytes) {
    require_numbers_of_host();
    const std::string folder = find_tracefs();
    for (const Tracepoint& tracepoint : tracepoints) {
      const std::string format = read_file(folder + tracepoint.name + "/format");
      auto decoder = tracepoint.decoder(format);
      const uint16_t id = trace_id(format);
      if (decoder == nullptr || id == 0) {
        if (tracepoint.required) throw SourceError(std::string("the kernel has no tracepoint ") + tracepoint.name, "ENOENT");
        complete_ = false;
        continue;
      }
      kinds_.push_back({id, &tracepoint, std::move(decoder)});
    }
    const auto cpus = parse_cpus(read_file("/sys/devices/system/cpu/online"));
    const size_t pages = buffer_bytes / std::max<size_t>(cpus.size(), 1) / sysconf(_SC_PAGESIZE);
    for (const int cpu : cpus) open_cpu(cpu, std::bit_floor(std::max<size_t>(pages, 1)));
    // At once on every CPU, as nearly as can be.
    for (const Descriptor& event : events_) ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
  }

  bool complete() const override { return complete_; }

  uint64_t read(std::vector<KernelEvent>& events) override {
    const size_t first = events.size();
    bool was_full = false;
    for (PerfRing& ring : rings_) {
      was_full |= ring.take(bytes_);
      told_lost_ += read_perf_records(Slice(bytes_.data(), bytes_.size()),
                                [&](const PerfSample& sample) { decode(sample, events); });
    }
    std::stable_sort(events.begin() + static_cast<ptrdiff_t>(first), events.end(),
                     [](const KernelEvent& a, const KernelEvent& b) { return a.time_ns < b.time_ns; });
    return new_lost(was_full);
  }

 private:
  struct Kind {
    uint16_t id;
    const Tracepoint* tracepoint;
    std::unique_ptr<TraceDecoder> decoder;
  };

  /** How many were lost since the last call. The rings tell it only with the next event that fits, the counters at once. */
  uint64_t new_lost(bool was_full) {
    uint64_t lost = told_lost_;
    if (was_full && counts_lost_) lost = std::max(lost, count_lost());
    const uint64_t before = std::exchange(lost_, std::max(lost_, lost));
    return lost_ - before;
  }

  /** Of all events since the start; asks each CPU for its count. */
  uint64_t count_lost() const {
    struct {
      uint64_t value, lost;
    } counts;
    uint64_t lost = 0;
    for (const Descriptor& event : events_)
      if (::read(event, &counts, sizeof counts) == sizeof counts) lost += counts.lost;
    return lost;
  }

  /** -1 with `errno`. */
  int open_event(perf_event_attr& attributes, int cpu) {
    // PERF_FORMAT_LOST, since Linux 6.0.
    constexpr uint64_t format_lost = 1 << 4;
    const auto open = [&] { return static_cast<int>(syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)); };
    attributes.read_format = counts_lost_ ? format_lost : 0;
    const int fd = open();
    if (fd >= 0 || errno != EINVAL || !counts_lost_) return fd;
    counts_lost_ = false;
    attributes.read_format = 0;
    return open();
  }

  void open_cpu(int cpu, size_t pages) {
    int leader = -1;
    for (const Kind& kind : kinds_) {
      perf_event_attr attributes{};
      attributes.size = sizeof attributes;
      attributes.type = PERF_TYPE_TRACEPOINT;
      attributes.config = kind.id;
      attributes.sample_period = 1;
      attributes.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_RAW;
      attributes.disabled = 1;
      attributes.use_clockid = 1;
      attributes.clockid = CLOCK_MONOTONIC;
      attributes.watermark = 1;
      attributes.wakeup_watermark = UINT32_MAX;  // Nobody sleeps until there is something: the rings are looked at.
      Descriptor event(open_event(attributes, cpu));
      if (event < 0) throw system_error(std::string("cannot follow the tracepoint ") + kind.tracepoint->name, errno);
      const char* filter = kind.tracepoint->filter;
      if (filter != nullptr && ioctl(event, PERF_EVENT_IOC_SET_FILTER, filter) < 0)
        throw system_error(std::string("cannot filter the tracepoint ") + kind.tracepoint->name, errno);
      if (leader < 0) {
        leader = event;
        rings_.emplace_back(leader, pages);
      } else if (ioctl(event, PERF_EVENT_IOC_SET_OUTPUT, leader) < 0) {
        throw system_error("cannot join kernel events", errno);
      }
      events_.push_back(std::move(event));
    }
  }

  void decode(const PerfSample& sample, std::vector<KernelEvent>& events) const {
    const auto id = sample.raw.read<uint16_t>(0);
    for (const Kind& kind : kinds_) {
      if (kind.id != id) continue;
      KernelEvent event;
      event.pid = static_cast<int32_t>(sample.pid);
      event.time_ns = sample.time_ns;
      const bool is_known = kind.decoder->decode(sample.raw, event);
      const bool ends_thread = event.kind == KernelEvent::Kind::exit && sample.thread != sample.pid;
      if (is_known && !ends_thread) events.push_back(std::move(event));
      return;
    }
  }

  bool complete_ = true;
  bool counts_lost_ = true;
  /** As the rings told it, and as it was handed on: since the start. */
  uint64_t told_lost_ = 0, lost_ = 0;
  std::vector<Kind> kinds_;
  /** Outlived by the rings, which the kernel keeps for as long as they are mapped. */
  std::vector<Descriptor> events_;
  std::vector<PerfRing> rings_;
  std::vector<uint8_t> bytes_;
};

}  // namespace

std::unique_ptr<EventTap> open_perf_tap(size_t buffer_bytes) { return std::make_unique<PerfTap>(buffer_bytes); }

}  // namespace proclabel
