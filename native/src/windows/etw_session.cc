#include "windows/etw_session.hh"

#include <cstring>
#include <memory>
#include <utility>

#include "windows/clock.hh"
#include "windows/etw_name.hh"
#include "windows/handle.hh"
#include "windows/system_error.hh"

namespace proclabel {
namespace {

constexpr GUID kernel_network = {0x7dd42a49, 0x5329, 0x4832, {0x8d, 0xfd, 0x43, 0xd9, 0x79, 0x15, 0x3a, 0x88}};
constexpr uint64_t keywords_ipv4_and_ipv6 = 0x30;
constexpr GUID kernel_process = {0x22fb2cd6, 0x0e7b, 0x422b, {0xa0, 0xc7, 0x2f, 0xad, 0x1f, 0xd0, 0xe7, 0x16}};
constexpr uint64_t keyword_process = 0x10;
/** https://learn.microsoft.com/windows/win32/etw/rt-lostevent */
constexpr GUID lost_event = {0x6a399ae0, 0x4bc6, 0x4de9, {0x87, 0x0b, 0x36, 0x57, 0xf8, 0x94, 0x7e, 0x7e}};
constexpr UCHAR level_information = 4;

constexpr size_t longest_name = 128;
/** What QueryAllTraces tells at most. */
constexpr size_t most_sessions = 64;

/** EVENT_FILTER_EVENT_ID and its type (evntprov.h), which mingw-w64 does not have yet. */
constexpr ULONG filter_by_id = 0x80000200;
struct IdFilter {
  BOOLEAN filter_in = TRUE;
  UCHAR reserved = 0;
  USHORT count = 0;
  USHORT ids[64];
};

/** Properties with room for the names behind them, as ControlTrace and StartTrace want it. */
struct Properties {
  EVENT_TRACE_PROPERTIES head;
  wchar_t name[longest_name];
  wchar_t file[longest_name];

  Properties() {
    std::memset(this, 0, sizeof *this);
    head.Wnode.BufferSize = sizeof *this;
    head.Wnode.Flags = WNODE_FLAG_TRACED_GUID;
    head.LoggerNameOffset = offsetof(Properties, name);
    head.LogFileNameOffset = offsetof(Properties, file);
  }
};

SourceError refused(const std::string& what, DWORD error) {
  const SourceError cause = system_error(what, error);
  if (error != ERROR_ACCESS_DENIED) return cause;
  const std::string remedy = "; run as administrator, as a service, or as a member of the group Performance Log Users";
  return SourceError(cause.what() + remedy, cause.code);
}

/** As is_orphan wants it. */
std::optional<int64_t> start_of(uint32_t pid) {
  const Handle process(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid));
  if (process == nullptr) return GetLastError() == ERROR_INVALID_PARAMETER ? std::optional<int64_t>(0) : std::nullopt;
  FILETIME start, exit, kernel, user;
  if (!GetProcessTimes(process.get(), &start, &exit, &kernel, &user)) return std::nullopt;
  return file_time_us(file_time(start));
}

/** A session outlives its process: stops those whose process is gone. */
void stop_orphans() {
  const auto sessions = std::make_unique<Properties[]>(most_sessions);
  EVENT_TRACE_PROPERTIES* heads[most_sessions];
  for (size_t i = 0; i < most_sessions; i++) heads[i] = &sessions[i].head;
  ULONG count = 0;
  if (QueryAllTracesW(heads, most_sessions, &count) != ERROR_SUCCESS) return;
  for (size_t i = 0; i < count && i < most_sessions; i++) {
    if (!is_orphan(sessions[i].name, start_of)) continue;
    Properties properties;
    ControlTraceW(0, sessions[i].name, &properties.head, EVENT_TRACE_CONTROL_STOP);
  }
}

}  // namespace

EtwSession::EtwSession(size_t most_events)
    : most_events_(most_events), name_(etw_session_name({GetCurrentProcessId(), start_of(GetCurrentProcessId()).value_or(0)})) {
  stop_orphans();
  start();
  try {
    enable(kernel_process, keyword_process, process_event_ids, std::size(process_event_ids));
    enable(kernel_network, keywords_ipv4_and_ipv6, network_event_ids, std::size(network_event_ids));
    open();
  } catch (const SourceError&) {
    stop();
    throw;
  }
}

EtwSession::~EtwSession() { stop(); }

void EtwSession::start() {
  Properties properties;
  // Raw time stamps of the performance counter: etw_tracker.hh puts them on the wall clock, as that is when they are read.
  properties.head.Wnode.ClientContext = 1;
  properties.head.LogFileMode = EVENT_TRACE_REAL_TIME_MODE;
  properties.head.BufferSize = 64;  // KiB
  properties.head.MinimumBuffers = 32;
  properties.head.MaximumBuffers = 256;
  properties.head.FlushTimer = 1;  // second, the shortest there is
  const ULONG error = StartTraceW(&session_, name_.c_str(), &properties.head);
  if (error != ERROR_SUCCESS) throw refused("cannot start a session of ETW", error);
}

void EtwSession::enable(const GUID& provider, uint64_t keywords, const uint16_t* ids, size_t count) {
  IdFilter filter;
  filter.count = static_cast<USHORT>(count);
  std::memcpy(filter.ids, ids, count * sizeof *ids);
  EVENT_FILTER_DESCRIPTOR description{};
  description.Ptr = reinterpret_cast<ULONGLONG>(&filter);
  description.Size = static_cast<ULONG>(offsetof(IdFilter, ids) + count * sizeof *ids);
  description.Type = filter_by_id;
  ENABLE_TRACE_PARAMETERS parameters{};
  parameters.Version = 2;  // ENABLE_TRACE_PARAMETERS_VERSION_2
  parameters.EnableFilterDesc = &description;
  parameters.FilterDescCount = 1;
  const ULONG error = EnableTraceEx2(session_, &provider, EVENT_CONTROL_CODE_ENABLE_PROVIDER, level_information, keywords, 0,
                                     0, &parameters);
  if (error != ERROR_SUCCESS) throw refused("cannot enable a provider of ETW", error);
}

void EtwSession::open() {
  EVENT_TRACE_LOGFILEW source{};
  source.LoggerName = const_cast<wchar_t*>(name_.c_str());
  source.ProcessTraceMode = PROCESS_TRACE_MODE_REAL_TIME | PROCESS_TRACE_MODE_EVENT_RECORD | PROCESS_TRACE_MODE_RAW_TIMESTAMP;
  source.EventRecordCallback = [](EVENT_RECORD* record) { static_cast<EtwSession*>(record->UserContext)->take(*record); };
  source.Context = this;
  consumer_ = OpenTraceW(&source);
  if (consumer_ == INVALID_PROCESSTRACE_HANDLE) throw refused("cannot read the session of ETW", GetLastError());
  thread_ = std::thread([this] {
    const ULONG error = ProcessTrace(&consumer_, 1, nullptr, nullptr);
    const std::lock_guard lock(mutex_);
    ended_with_ = error;
    has_ended_ = true;
  });
}

void EtwSession::stop() {
  Properties properties;
  ControlTraceW(session_, nullptr, &properties.head, EVENT_TRACE_CONTROL_STOP);
  if (consumer_ != INVALID_PROCESSTRACE_HANDLE) CloseTrace(consumer_);
  if (thread_.joinable()) thread_.join();
}

void EtwSession::take(const EVENT_RECORD& record) {
  const EVENT_HEADER& header = record.EventHeader;
  if (IsEqualGUID(header.ProviderId, lost_event)) {
    const std::lock_guard lock(mutex_);
    was_told_of_loss_ = true;
    return;
  }
  EtwRecord plain{.provider = EtwProvider::network,
                  .id = header.EventDescriptor.Id,
                  .version = header.EventDescriptor.Version,
                  .payload = Slice(record.UserData, record.UserDataLength)};
  if (IsEqualGUID(header.ProviderId, kernel_process)) plain.provider = EtwProvider::process;
  else if (!IsEqualGUID(header.ProviderId, kernel_network)) return;
  auto event = decode(plain);
  if (!event) return;
  event->ticks = header.TimeStamp.QuadPart;
  const std::lock_guard lock(mutex_);
  if (events_.size() < most_events_) events_.push_back(std::move(*event));
  else lost_here_++;
}

std::optional<EtwCounts> EtwSession::counts() const {
  Properties properties;
  if (ControlTraceW(session_, nullptr, &properties.head, EVENT_TRACE_CONTROL_QUERY) != ERROR_SUCCESS) return std::nullopt;
  return EtwCounts{.events_lost = properties.head.EventsLost, .buffers_lost = properties.head.RealTimeBuffersLost};
}

uint64_t EtwSession::read(std::vector<EtwEvent>& events) {
  const auto counted = counts();
  events.clear();
  const std::lock_guard lock(mutex_);
  if (has_ended_) throw system_error("the session of ETW was stopped", ended_with_);
  events.swap(events_);
  return loss_.since_last(counted, std::exchange(was_told_of_loss_, false), std::exchange(lost_here_, 0));
}

}  // namespace proclabel
