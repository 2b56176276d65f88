#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "event_source.hh"
#include "windows/etw_decoder.hh"

namespace proclabel {

/** A moment on the clock of an ETW session and on the wall. */
struct ClockPair {
  int64_t ticks = 0;
  int64_t ticks_per_second = 1;
  int64_t wall_us = 0;
};

/** Wall clock of an event, by a pair that was taken soon after it. */
int64_t wall_us_of(int64_t ticks, const ClockPair& now);

/** What the tracker asks of the system. */
struct EtwSystem {
  /** The process that has a pid now, or had it when somebody looked last; null where there is none. */
  std::function<std::shared_ptr<const Process>(uint32_t pid)> process;
  std::function<bool(const Address&)> is_local;
  /** The path of a program as users know it, for the one that the kernel tells. */
  std::function<std::string(const std::string& image)> path;
};

/** Events of ETW become ours: in order of time, this host's end first, with the process as it was then. */
class EtwTracker {
 public:
  /** `opened_us`: since when starts and exits of processes are told, wall clock. */
  EtwTracker(EtwSystem system, int64_t opened_us) : system_(std::move(system)), opened_us_(opened_us) {}

  /** What came since; it stays here until `take` asks for its time. */
  void add(std::vector<EtwEvent>& told, const ClockPair& now);

  /** Appends all events up to `until_us`, in order of time. */
  void take(int64_t until_us, std::vector<SocketEvent>& events);

 private:
  /** Exited processes whose last events may still come. */
  static constexpr size_t most_exited = 4096;
  /** A UDP flow is told once in this time: a datagram each says no more. */
  static constexpr int64_t repeat_after_us = 1'000'000;

  SocketEvent socket_event(const EtwEvent& told, int64_t time_us);
  std::shared_ptr<const Process> started(const EtwEvent& told);
  std::shared_ptr<const Process> exited(const EtwEvent& told);
  std::shared_ptr<const Process> process_at(uint32_t pid, int64_t time_us);
  bool is_repeated(const EtwEvent& told, int64_t time_us);

  EtwSystem system_;
  int64_t opened_us_;
  std::vector<SocketEvent> waiting_;
  /** Of processes that started while we looked; by pid. */
  std::unordered_map<uint32_t, std::shared_ptr<const Process>> started_;
  std::deque<std::pair<uint32_t, int64_t>> exited_;
  std::unordered_set<std::string> told_flows_;
  int64_t told_since_us_ = 0;
};

}  // namespace proclabel
