#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "linux/clock.hh"
#include "linux/network_namespaces.hh"
#include "linux/process_table.hh"
#include "linux/socket_table.hh"
#include "socket_source.hh"

namespace proclabel {
namespace {

/** Keeps the table of the last poll, so that a poll in which nothing changed costs no more than the kernel's dump, or its counters. */
class LinuxSource : public SocketSource {
 public:
  /** `namespaces`: others whose sockets are told too; null for none. */
  explicit LinuxSource(std::shared_ptr<NetworkNamespaces> namespaces) : namespaces_(std::move(namespaces)) {}

  std::string restriction() const override { return namespaces_ == nullptr ? "" : namespaces_->restriction(); }

  std::vector<PlacedAddress> addresses() override {
    std::vector<PlacedAddress> all;
    if (namespaces_ == nullptr) return all;
    const auto lock = namespaces_->lock();
    for (const auto& [inode, space] : namespaces_->all())
      for (const Address& address : space->addresses()) all.push_back({inode, address});
    return all;
  }

  const Poll& poll(bool quick) override {
    poll_.time_us = clock_us(CLOCK_REALTIME);
    poll_.monotonic_us = clock_us(CLOCK_MONOTONIC);
    poll_.opened.clear();
    poll_.closed.clear();
    number_++;
    // Sockets whose owner is not known yet are looked at again.
    if (refresh_tables(quick) || !unowned_.empty()) {
      gather_rows();
      take_rows();
      drop_closed();
    }
    find_owners();
    poll_.total = sockets_.size();
    poll_.duration_us = clock_us(CLOCK_MONOTONIC) - poll_.monotonic_us;
    return poll_;
  }

 private:
  /** The kernel's cookie, unique until the next boot, and the place of the address; both fit into a double's 53 bits. */
  static uint64_t id_of(uint64_t cookie, uint64_t place) { return cookie | place << 48; }

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

  bool refresh_tables(bool quick) {
    bool changed = own_.refresh(quick);
    if (namespaces_ == nullptr) return changed;
    const auto lock = namespaces_->lock();
    changed |= namespaces_->refresh(poll_.monotonic_us);
    for (const auto& [inode, space] : namespaces_->all()) changed |= space->refresh(quick);
    return changed;
  }

  void gather_rows() {
    rows_.clear();
    own_.for_each([this](const DiagRow& row) { rows_.push_back(row); });
    if (namespaces_ == nullptr) return;
    const auto lock = namespaces_->lock();
    for (const auto& [inode, space] : namespaces_->all()) space->append_sockets(rows_);
  }

  void take_rows() {
    seen_ = 0;
    unowned_.clear();
    for (const DiagRow& row : rows_) {
      const auto [place, is_new] = sockets_.try_emplace(id_of(row.cookie, row.place));
      Entry& entry = place->second;
      if (is_new) entry.socket.id = place->first;
      if (entry.seen_in_poll != number_) seen_++;
      entry.seen_in_poll = number_;
      if (is_new || entry.socket.row != row.row) {
        entry.socket.row = row.row;
        report(entry);
      }
      if (entry.inode != row.inode) {
        // Closed by its process: the kernel still sends what is left, so the owners stay.
        forget_live(entry);
        if (row.inode != 0 && row.place == 0) live_[row.inode] = row.cookie;
        entry.inode = row.inode;
        entry.searches = 0;
      }
      if (entry.inode != 0 && entry.socket.owners.empty() && entry.searches < max_searches) unowned_.push_back(&entry);
    }
  }

  void forget_live(const Entry& entry) {
    const auto live = live_.find(entry.inode);
    if (live != live_.end() && live->second == entry.socket.id) live_.erase(live);
  }

  void drop_closed() {
    if (seen_ == sockets_.size()) return;
    std::erase_if(sockets_, [this](const auto& item) {
      const auto& [id, entry] = item;
      if (entry.seen_in_poll == number_) return false;
      forget_live(entry);
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
    if (!wanted_.empty() || regular) processes_.refresh(live_, regular);
    if (!wanted_.empty()) processes_.read_unchanged(live_, wanted_, searched_before);
    if (regular) processes_.read_next_in_turn(live_);

    for (const uint32_t inode : processes_.take_changed()) {
      const auto live = live_.find(inode);
      if (live == live_.end()) continue;
      for (uint64_t place = 0;; place++) {
        const auto found = sockets_.find(id_of(live->second, place));
        if (found == sockets_.end()) break;
        set_owners(found->second);
      }
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

  SocketTable own_;
  const std::shared_ptr<NetworkNamespaces> namespaces_;
  ProcessTable processes_;
  uint64_t number_ = 0;
  /** By id. */
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

std::unique_ptr<SocketSource> open_socket_source(bool all_namespaces) {
  return std::make_unique<LinuxSource>(all_namespaces ? NetworkNamespaces::shared() : nullptr);
}

}  // namespace proclabel
