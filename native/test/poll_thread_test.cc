#include "poll_thread.hh"

#include <atomic>
#include <cmath>
#include <functional>

#include "test.hh"

using namespace proclabel;
using namespace std::chrono_literals;

namespace {

/** Each poll opens a socket with its number as id, and closes the one before. */
class CountingSource : public SocketSource {
 public:
  explicit CountingSource(std::function<void()> work = [] {}) : work_(std::move(work)) {}

  const Poll& poll(bool quick) override {
    poll_.monotonic_us = std::chrono::duration_cast<std::chrono::microseconds>(
                             std::chrono::steady_clock::now().time_since_epoch()).count();
    if (!quick) full++;
    work_();
    poll_.closed.assign(polls > 0 ? 1 : 0, socket_.id);
    socket_.id = ++polls;
    poll_.opened = {&socket_};
    return poll_;
  }

  std::atomic<uint64_t> polls = 0;
  std::atomic<int> full = 0;

 private:
  const std::function<void()> work_;
  Socket socket_;
  Poll poll_;
};

template <typename Condition>
void wait_until(Condition condition) {
  for (int i = 0; i < 5000 && !condition(); i++) std::this_thread::sleep_for(2ms);
  CHECK(condition());
}

}  // namespace

TEST("polls wait in order until they are taken, with copies of what they told") {
  CountingSource source;
  PollThread thread(source, 1ms);
  wait_until([&] { return source.polls >= 20; });
  uint64_t next = 1;
  for (int i = 0; i < 2; i++) {
    for (const TakenPoll& poll : thread.take().polls) {
      CHECK_EQUAL(poll.opened.size(), 1u);
      CHECK_EQUAL(poll.opened[0].id, next);
      CHECK(poll.closed == std::vector<uint64_t>(next == 1 ? 0 : 1, next - 1));
      CHECK(poll.cpu_us >= 0);
      next++;
    }
    CHECK(next > 20);
  }
}

TEST("slow polls do not move the moments of later ones: each has its poll or is counted as missed") {
  CountingSource source([] { std::this_thread::sleep_for(30ms); });
  PollThread thread(source, 50ms);
  wait_until([&] { return source.polls >= 12; });
  const auto [polls, missed] = thread.take();
  const double moments = std::round((polls.back().monotonic_us - polls.front().monotonic_us) / 50e3);
  // 30 ms later each time would be 6 moments or more.
  CHECK(std::abs(static_cast<double>(polls.size()) - 1 + missed - moments) <= 1);
}

TEST("a poll that takes longer than the period skips moments, which are counted") {
  CountingSource source([] { std::this_thread::sleep_for(25ms); });
  PollThread thread(source, 20ms);
  wait_until([&] { return source.polls >= 10; });
  const auto [polls, missed] = thread.take();
  CHECK(missed >= static_cast<int64_t>(polls.size()) - 1);
}

TEST("the pace that is set holds at once where it quickens") {
  CountingSource source;
  PollThread thread(source, 5ms);
  wait_until([&] { return source.polls >= 2; });
  thread.pace(1'000'000);
  // The poll under way, and one that was due already.
  std::this_thread::sleep_for(50ms);
  const uint64_t before = source.polls;
  std::this_thread::sleep_for(200ms);
  CHECK(source.polls <= before + 1);
  thread.pace(1);
  wait_until([&] { return source.polls >= before + 10; });
}

TEST("what nobody takes is bounded: polls go on when it was taken") {
  CountingSource source;
  PollThread thread(source, 500us);
  wait_until([&] { return source.polls >= 256; });
  std::this_thread::sleep_for(50ms);
  const auto [polls, missed] = thread.take();
  CHECK_EQUAL(polls.size(), 256u);
  CHECK(missed > 0);
  wait_until([&] { return source.polls >= 300; });
}

TEST("polls in between are quick, but for one a second") {
  CountingSource source;
  PollThread thread(source, 20ms);
  wait_until([&] { return source.full >= 2; });
  CHECK(source.polls >= 5);
  CHECK(source.polls <= 60);
}

TEST("what a poll throws is thrown by the taking, behind the polls before it") {
  int calls = 0;
  CountingSource source([&] {
    if (++calls == 4) throw SourceError("no netlink", "EPERM");
  });
  PollThread thread(source, 1ms);
  wait_until([&] { return source.polls >= 3; });
  std::this_thread::sleep_for(20ms);
  size_t taken = 0;
  try {
    for (int i = 0; i < 100; i++) {
      taken += thread.take().polls.size();
      std::this_thread::sleep_for(5ms);
    }
    CHECK(false);
  } catch (const SourceError& error) {
    CHECK_EQUAL(error.code, "EPERM");
  }
  CHECK_EQUAL(taken, 3u);
}
