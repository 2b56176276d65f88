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
    for (auto& [id, entry] : sockets_) {
      if (std::exchange(entry.changed, false)) poll_.opened.push_back(&entry.socket);
    }
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
    bool changed = true;
  };

  /** After that many only the regular refresh looks on: the kernel's own sockets never have an owner. */
  static constexpr int max_searches = 3;
  /** Polls from one look at processes that inherited, passed on or closed a socket to the next. */
  static constexpr uint64_t refresh_every = 20;

  void take_rows() {
    for (const DiagRow& row : rows_) {
      Entry& entry = sockets_[row.cookie];
      entry.socket.id = row.cookie;
      entry.seen_in_poll = number_;
      if (entry.socket.row != row.row) {
        entry.socket.row = row.row;
        entry.changed = true;
      }
      if (entry.inode != row.inode) {
        // Closed by its process: the kernel still sends what is left, so the owners stay.
        if (entry.inode != 0) live_.erase(entry.inode);
        if (row.inode != 0) live_.insert(row.inode);
        entry.inode = row.inode;
        entry.searches = 0;
      }
    }
  }

  void drop_closed() {
    unowned_.clear();
    for (auto item = sockets_.begin(); item != sockets_.end();) {
      Entry& entry = item->second;
      if (entry.seen_in_poll != number_) {
        if (entry.inode != 0) live_.erase(entry.inode);
        poll_.closed.push_back(item->first);
        item = sockets_.erase(item);
        continue;
      }
      if (entry.inode != 0 && entry.socket.owners.empty() && entry.searches < max_searches) unowned_.push_back(&entry);
      item++;
    }
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
    if (regular) processes_.read_next_in_turn();

    if (processes_.take_changed()) {
      for (auto& [id, entry] : sockets_) set_owners(entry);
    } else {
      for (Entry* entry : unowned_) set_owners(*entry);
    }
    for (Entry* entry : unowned_) entry->searches++;
  }

  void set_owners(Entry& entry) {
    if (entry.inode == 0) return;
    const Owners* owners = processes_.owners(entry.inode);
    // None: the owner died between the dump and now, or the socket is on its way between processes.
    if (owners == nullptr || *owners == entry.socket.owners) return;
    entry.socket.owners = *owners;
    entry.changed = true;
  }

  SockDiag diag_;
  ProcessTable processes_;
  uint64_t number_ = 0;
  std::unordered_map<uint64_t, Entry> sockets_;
  /** Inodes of the sockets in `sockets_`. */
  std::unordered_set<uint32_t> live_;
  Poll poll_;
  // Reused from poll to poll.
  std::vector<DiagRow> rows_;
  std::vector<Entry*> unowned_;
  std::unordered_set<uint32_t> wanted_;
};

}  // namespace

std::unique_ptr<SocketSource> open_socket_source() { return std::make_unique<LinuxSource>(); }

}  // namespace proclabel
