#pragma once

#include <windows.h>

#include <evntrace.h>

#include <evntcons.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "windows/etw_decoder.hh"
#include "windows/etw_loss.hh"

namespace proclabel {

/**
 * A real-time session of ETW for the events of etw_decoder.hh, and the thread that fetches them. Needs an administrator, a
 * service account, or a member of Performance Log Users.
 */
class EtwSession {
 public:
  /** `most_events`: what may wait to be fetched. Stops sessions that crashed runs left. Throws SourceError. */
  explicit EtwSession(size_t most_events);
  ~EtwSession();
  EtwSession(const EtwSession&) = delete;
  EtwSession& operator=(const EtwSession&) = delete;

  /** Takes what came since. Returns how many events were lost meanwhile, at least: of a lost buffer nobody knows how many it held. */
  uint64_t read(std::vector<EtwEvent>& events);

 private:
  void start();
  void enable(const GUID& provider, uint64_t keywords, const uint16_t* ids, size_t count);
  void open();
  void stop();
  void take(const EVENT_RECORD& record);
  std::optional<EtwCounts> counts() const;

  const size_t most_events_;
  const std::wstring name_;
  TRACEHANDLE session_ = 0;
  TRACEHANDLE consumer_ = INVALID_PROCESSTRACE_HANDLE;
  std::thread thread_;
  EtwLoss loss_;
  std::mutex mutex_;
  // Of both threads.
  std::vector<EtwEvent> events_;
  uint64_t lost_here_ = 0;
  bool was_told_of_loss_ = false;
  ULONG ended_with_ = ERROR_SUCCESS;
  bool has_ended_ = false;
};

}  // namespace proclabel
