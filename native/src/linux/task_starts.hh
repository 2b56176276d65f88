#pragma once

#include <optional>

#include "linux/descriptor.hh"

namespace proclabel {

/** Tells who started: /proc/loadavg ends with the number that the last process, or thread, was given, and they are given in turn. */
class TaskStarts {
 public:
  TaskStarts();

  /** Numbers, both ends included; none where the first is larger. */
  struct Range {
    int first, last;
  };

  /**
   * What was given since the call before the last: whoever was given a number shows a moment later. To threads too, and some may
   * be gone. Nothing where only a list of /proc can tell.
   */
  std::optional<Range> take();

  /** Whether a number is that of a process, not of one of its threads. */
  static bool is_process(int number);

 private:
  /** None where /proc is not that of this process's pid namespace, of which the number is. */
  Descriptor file_;
  int last_ = 0;
  /** Of the next range. */
  int first_ = 0;
};

}  // namespace proclabel
