#include "socket_source.hh"
#include "windows/clock.hh"
#include "windows/process_table.hh"
#include "windows/socket_book.hh"
#include "windows/socket_table.hh"

namespace proclabel {
namespace {

class WindowsSource : public SocketSource {
 public:
  std::string restriction() const override {
    if (sees_all_) return {};
    return "processes of the system and of other users come without start time and path; run as administrator to see all";
  }

  const Poll& poll(bool) override {
    poll_.time_us = wall_us();
    poll_.monotonic_us = monotonic_us();
    table_.read(rows_);
    book_.apply(rows_, [this](uint32_t pid) { return processes_.find(pid); }, poll_);
    processes_.end_poll();
    poll_.duration_us = monotonic_us() - poll_.monotonic_us;
    return poll_;
  }

 private:
  const bool sees_all_ = enable_debug_privilege();
  SocketTable table_;
  ProcessTable processes_;
  SocketBook book_;
  Poll poll_;
  std::vector<TableRow> rows_;
};

}  // namespace

std::unique_ptr<SocketSource> open_socket_source(bool) { return std::make_unique<WindowsSource>(); }

}  // namespace proclabel
