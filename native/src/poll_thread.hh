#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "socket_source.hh"

namespace proclabel {

/** A poll with copies of what it told. */
struct TakenPoll {
  explicit TakenPoll(const Poll& poll);

  /** As those of Poll. */
  int64_t time_us = 0;
  int64_t monotonic_us = 0;
  int64_t duration_us = 0;
  std::vector<Socket> opened;
  std::vector<uint64_t> closed;
  /** Processor time that it took. */
  int64_t cpu_us = 0;
};

/**
 * Polls a source by a thread of its own, so that polls come on time whatever the rest of the process does. The moments are fixed
 * from the start: delays do not add up.
 */
class PollThread {
 public:
  /** Polls every `period` until told otherwise. `source` must stay, and must not be polled by others. */
  PollThread(SocketSource& source, std::chrono::microseconds period);
  /** Waits for the poll under way. */
  ~PollThread();
  PollThread(const PollThread&) = delete;
  PollThread& operator=(const PollThread&) = delete;

  /** From here on so many periods lie between two polls. */
  void pace(int64_t periods);

  struct Taken {
    std::vector<TakenPoll> polls;
    /** Moments at which a poll was due but the one before still went on, or too many polls waited here. */
    int64_t missed = 0;
  };
  /** The polls since the last call. Throws what a poll threw; there are none after that. */
  Taken take();

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  /** The first moment that is not past, in periods since the start. */
  int64_t next_moment() const;
  Clock::time_point time_of(int64_t moment) const { return start_ + moment * period_; }

  /** What is not taken by then is not polled either: the next poll tells what changed in between. */
  static constexpr size_t most_waiting = 256;

  SocketSource& source_;
  const std::chrono::microseconds period_;
  const Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  int64_t periods_ = 1;
  int64_t due_ = 0;
  Taken waiting_;
  std::exception_ptr failure_;
  /** Last: it runs as soon as it is made. */
  std::thread thread_;
};

}  // namespace proclabel
