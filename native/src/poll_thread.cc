#include "poll_thread.hh"

#include <time.h>

#include <algorithm>
#include <utility>

namespace proclabel {
namespace {

/** Polls in between may be quick: what they miss has nothing on the wire. */
constexpr std::chrono::seconds full_poll_period{1};

int64_t thread_cpu_us() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

}  // namespace

TakenPoll::TakenPoll(const Poll& poll)
    : time_us(poll.time_us), monotonic_us(poll.monotonic_us), duration_us(poll.duration_us), closed(poll.closed) {
  opened.reserve(poll.opened.size());
  for (const Socket* socket : poll.opened) opened.push_back(*socket);
}

PollThread::PollThread(SocketSource& source, std::chrono::microseconds period)
    : source_(source), period_(period), thread_([this] { run(); }) {}

PollThread::~PollThread() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void PollThread::pace(int64_t periods) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(periods_, periods) <= periods) return;
  due_ = std::min(due_, next_moment() + periods);
  changed_.notify_one();
}

PollThread::Taken PollThread::take() {
  const std::lock_guard lock(mutex_);
  if (failure_ != nullptr && waiting_.polls.empty()) std::rethrow_exception(failure_);
  return std::exchange(waiting_, {});
}

void PollThread::run() {
  auto full_poll = Clock::time_point::min();
  std::unique_lock lock(mutex_);
  while (!ended_) {
    const auto now = Clock::now();
    if (now < time_of(due_)) {
      changed_.wait_until(lock, time_of(due_));
      continue;
    }
    const int64_t moment = due_;
    if (waiting_.polls.size() < most_waiting) {
      const bool quick = now < full_poll;
      if (!quick) full_poll = now + full_poll_period;
      lock.unlock();
      try {
        const int64_t before_us = thread_cpu_us();
        TakenPoll poll(source_.poll(quick));
        poll.cpu_us = thread_cpu_us() - before_us;
        lock.lock();
        waiting_.polls.push_back(std::move(poll));
      } catch (...) {
        lock.lock();
        failure_ = std::current_exception();
        return;
      }
    } else {
      waiting_.missed++;
    }
    due_ = std::max(moment + periods_, next_moment());
    waiting_.missed += due_ - (moment + periods_);
  }
}

int64_t PollThread::next_moment() const {
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
  return (passed + period_ - std::chrono::microseconds(1)) / period_;
}

}  // namespace proclabel
