#include "packet/event_clock.hh"

#include "test.hh"

using proclabel::packet::EventClock;

namespace {
constexpr double minute_us = 60e6;
}

TEST("the clock follows the newest packet and ignores those out of order") {
  EventClock clock;
  CHECK(std::isnan(clock.now_us()));
  for (const double time_us : {5.0, 9.0, 7.0}) clock.observe(time_us);
  CHECK_EQUAL(clock.now_us(), 9.0);
}

TEST("one damaged timestamp moves nothing; a second one on the same side does") {
  EventClock clock;
  clock.observe(0);
  clock.observe(9 * minute_us);
  clock.observe(1);
  CHECK_EQUAL(clock.now_us(), 1.0);
  clock.observe(-5 * minute_us);
  clock.observe(9 * minute_us);
  CHECK_EQUAL(clock.now_us(), 1.0);
  clock.observe(8 * minute_us);
  CHECK_EQUAL(clock.now_us(), 8 * minute_us);
}
