#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "linux/clock.hh"
#include "linux/process_table.hh"
#include "linux/sock_diag.hh"
#include "socket_source.hh"

namespace proclabel {
namespace {

/** Keeps the table of the last poll, so that a poll in which nothing changed costs no more than the kernel's dump. */
class LinuxSource : public SocketSource {
 public:
  const Poll& poll() override {
    poll_.time_us = clock_us(CLOCK_REALTIME);
    poll_.monotonic_us = clock_us(CLOCK_MONOTONIC);
    poll_.opened.clear();
    poll_.closed.clear();
    number_++;
    diag_.dump(rows_);
    take_rows();
    drop_closed();
    find_owners();
    poll_.total = sockets_.size();
    poll_.duration_us = clock_us(CLOCK_MONOTONIC) - poll_.monotonic_us;
    return poll_;
  }

 private:
  struct Entry {
    Socket socket;
    /** 0 while or since no process holds the socket. */
    uint32_t inode = 0;
    uint64_t seen_in_poll = 0;
    /** Polls that looked for the owners in vain. */
    int searches = 0;
    uint64_t reported_in_poll = 0;
  };

  /** After that many only the regular refresh looks on: the kernel's own sockets never have an owner. */
  static constexpr int max_searches = 3;
  /** Polls from one look at processes that inherited, passed on or closed a socket to the next. */
  static constexpr uint64_t refresh_every = 20;

  void take_rows() {
    seen_ = 0;
    unowned_.clear();
    for (const DiagRow& row : rows_) {
      const auto [place, is_new] = sockets_.try_emplace(row.cookie);
      Entry& entry = place->second;
      if (is_new) entry.socket.id = row.cookie;
      if (entry.seen_in_poll != number_) seen_++;
      entry.seen_in_poll = number_;
      if (is_new || entry.socket.row != row.row) {
        entry.socket.row = row.row;
        report(entry);
      }
      if (entry.inode != row.inode) {
        // Closed by its process: the kernel still sends what is left, so the owners stay.
        if (entry.inode != 0) live_.erase(entry.inode);
        if (row.inode != 0) live_[row.inode] = row.cookie;
        entry.inode = row.inode;
        entry.searches = 0;
      }
      if (entry.inode != 0 && entry.socket.owners.empty() && entry.searches < max_searches) unowned_.push_back(&entry);
    }
  }

  void drop_closed() {
    if (seen_ == sockets_.size()) return;
    std::erase_if(sockets_, [this](const auto& item) {
      const auto& [id, entry] = item;
      if (entry.seen_in_poll == number_) return false;
      if (entry.inode != 0) live_.erase(entry.inode);
      poll_.closed.push_back(id);
      return true;
    });
  }

  void find_owners() {
    wanted_.clear();
    bool searched_before = false;
    for (const Entry* entry : unowned_) {
      if (processes_.owners(entry->inode) != nullptr) continue;
      wanted_.insert(entry->inode);
      searched_before |= entry->searches > 0;
    }
    const bool regular = number_ % refresh_every == 1;
    if (!wanted_.empty() || regular) processes_.refresh(live_);
    if (!wanted_.empty()) processes_.read_unchanged(live_, wanted_, searched_before);
    if (regular) processes_.read_next_in_turn(live_);

    for (const uint32_t inode : processes_.take_changed()) {
      const auto live = live_.find(inode);
      if (live != live_.end()) set_owners(sockets_.at(live->second));
    }
    for (Entry* entry : unowned_) {
      set_owners(*entry);
      entry->searches++;
    }
  }

  void set_owners(Entry& entry) {
    const Owners* owners = processes_.owners(entry.inode);
    // None: the owner died between the dump and now, or the socket is on its way between processes.
    if (owners == nullptr || *owners == entry.socket.owners) return;
    entry.socket.owners = *owners;
    report(entry);
  }

  void report(Entry& entry) {
    if (std::exchange(entry.reported_in_poll, number_) == number_) return;
    poll_.opened.push_back(&entry.socket);
  }

  SockDiag diag_;
  ProcessTable processes_;
  uint64_t number_ = 0;
  /** By id, which is the kernel's cookie. */
  std::unordered_map<uint64_t, Entry> sockets_;
  /** How many of them were in the last dump. */
  size_t seen_ = 0;
  /** Those of them that a process holds. */
  LiveSockets live_;
  Poll poll_;
  // Reused from poll to poll.
  std::vector<DiagRow> rows_;
  std::vector<Entry*> unowned_;
  std::unordered_set<uint32_t> wanted_;
};

}  // namespace

std::unique_ptr<SocketSource> open_socket_source() { return std::make_unique<LinuxSource>(); }

}  // namespace proclabel
