#include "linux/task_starts.hh"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "linux/kernel_files.hh"

namespace proclabel {
namespace {

/** Whether /proc shows the pid namespace that this process is in: then it tells one number of it (NSpid in proc_pid_status(5)). */
bool is_own_proc() {
  constexpr std::string_view mark = "\nNSpid:\t";
  const std::string text = read_file("/proc/self/status");
  const size_t at = text.find(mark);
  return at != std::string::npos && text[text.find_first_of("\t\n", at + mark.size())] == '\n';
}

}  // namespace

TaskStarts::TaskStarts() {
  if (is_own_proc() && is_process(getpid())) file_.reset(open("/proc/loadavg", O_RDONLY | O_CLOEXEC));
}

std::optional<TaskStarts::Range> TaskStarts::take() {
  char text[128];
  const ssize_t length = file_ < 0 ? 0 : pread(file_, text, sizeof text, 0);
  if (length <= 0) return std::nullopt;
  std::string_view last(text, length);
  last.remove_prefix(last.rfind(' ') + 1);
  int number = 0;
  std::from_chars(last.data(), last.data() + last.size(), number);
  const int before = std::exchange(last_, number);
  // They begin anew at the highest there may be.
  const int first = std::exchange(first_, number < before ? 0 : before + 1);
  if (first == 0 || number < before) return std::nullopt;
  return Range{first, number};
}

bool TaskStarts::is_process(int number) {
  return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, number, 0))) >= 0;
}

}  // namespace proclabel
