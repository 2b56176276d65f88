#include "event_source.hh"
#include "windows/clock.hh"
#include "windows/etw_session.hh"
#include "windows/etw_tracker.hh"
#include "windows/local_addresses.hh"
#include "windows/process_table.hh"
#include "windows/system_error.hh"

namespace proclabel {
namespace {

/** Windows flushes buffers once a second; what is later than that and as much again is told out of order. */
constexpr int64_t delay_us = 1'500'000;

ClockPair clock_pair() {
  LARGE_INTEGER frequency, counter;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&counter);
  return {.ticks = counter.QuadPart, .ticks_per_second = frequency.QuadPart, .wall_us = wall_us()};
}

/** `\Device\HarddiskVolume3\x` is `C:\x`, if that is what drive C: is; as it stands where no drive is that device. */
std::string path_of_image(const std::string& image) {
  wchar_t device[1024];
  for (wchar_t drive[] = L"A:"; drive[0] <= L'Z'; drive[0]++) {
    const DWORD length = QueryDosDeviceW(drive, device, static_cast<DWORD>(std::size(device)));
    if (length == 0) continue;
    const std::string prefix = utf8(device, wcslen(device)) + '\\';
    if (image.starts_with(prefix)) return std::string(1, static_cast<char>(drive[0])) + ":\\" + image.substr(prefix.size());
  }
  return image;
}

class WindowsEvents : public EventSource {
 public:
  explicit WindowsEvents(size_t most_events) : session_(most_events) {}

  /** A SYN that nobody answers makes no event. */
  bool complete() const override { return false; }

  const EventBatch& read() override {
    batch_.events.clear();
    batch_.lost = session_.read(told_);
    const ClockPair now = clock_pair();
    tracker_.add(told_, now);
    batch_.until_us = now.wall_us - delay_us;
    tracker_.take(batch_.until_us, batch_.events);
    processes_.end_poll();
    return batch_;
  }

 private:
  const bool sees_all_ = enable_debug_privilege();
  const int64_t opened_us_ = wall_us();
  EtwSession session_;
  ProcessTable processes_;
  LocalAddresses addresses_;
  EtwTracker tracker_{{.process = [this](uint32_t pid) { return processes_.find(pid); },
                       .is_local = [this](const Address& address) { return addresses_.contains(address); },
                       .path = path_of_image},
                      opened_us_};
  std::vector<EtwEvent> told_;
  EventBatch batch_;
};

}  // namespace

std::unique_ptr<EventSource> open_event_source(const std::string& mechanism, size_t buffer_bytes, bool) {
  if (mechanism != "etw") throw SourceError("there is no source of kernel events called " + mechanism, "EINVAL");
  return std::make_unique<WindowsEvents>(buffer_bytes / sizeof(EtwEvent));
}

}  // namespace proclabel
