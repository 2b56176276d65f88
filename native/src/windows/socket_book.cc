#include "windows/socket_book.hh"

#include <string_view>

namespace proclabel {

size_t SocketBook::KeyHash::operator()(const Key& key) const {
  const auto text = [](const Address& address) {
    return std::string_view(reinterpret_cast<const char*>(address.data()), address.size());
  };
  constexpr std::hash<std::string_view> hash;
  const uint64_t ports = uint64_t{key.local_port} << 32 | uint64_t{key.remote_port} << 16 | static_cast<uint64_t>(key.protocol);
  return hash(text(key.local)) ^ hash(text(key.remote)) * 31 ^ std::hash<uint64_t>()(ports ^ uint64_t{key.pid} << 40) * 131;
}

SocketBook::Key SocketBook::key_of(const TableRow& row) {
  const SocketRow& socket = row.row;
  const bool is_connection = socket.has_remote;
  return {.protocol = socket.protocol,
          .local_port = socket.local_port,
          .remote_port = socket.remote_port,
          .local = socket.local,
          .remote = socket.remote,
          .pid = is_connection ? 0 : row.pid,
          .created_us = is_connection ? 0 : row.created_us};
}

/** Whether the ends of a connection have come to another socket. */
bool SocketBook::is_other(const Entry& entry, const TableRow& row) {
  if (entry.socket.row.state == State::time_wait && row.row.state != State::time_wait) return true;
  if (row.pid != 0 && entry.pid != 0 && row.pid != entry.pid) return true;
  return row.created_us != 0 && entry.socket.created_us != 0 && row.created_us != entry.socket.created_us;
}

void SocketBook::apply(const std::vector<TableRow>& rows, const OwnerOf& owner_of, Poll& poll) {
  number_++;
  poll.opened.clear();
  poll.closed.clear();
  for (const TableRow& row : rows) take(row, owner_of, poll);
  std::erase_if(sockets_, [&](const auto& item) {
    if (item.second.seen_in_poll == number_) return false;
    poll.closed.push_back(item.second.socket.id);
    return true;
  });
  poll.total = sockets_.size();
}

void SocketBook::take(const TableRow& row, const OwnerOf& owner_of, Poll& poll) {
  const auto [place, is_new] = sockets_.try_emplace(key_of(row));
  Entry& entry = place->second;
  if (entry.seen_in_poll == number_) return;
  entry.seen_in_poll = number_;
  bool changed = is_new;
  if (!is_new && is_other(entry, row)) {
    poll.closed.push_back(entry.socket.id);
    entry = Entry();
    entry.seen_in_poll = number_;
    changed = true;
  }
  if (changed) entry.socket.id = ++last_id_;
  if (entry.socket.row != row.row) {
    entry.socket.row = row.row;
    changed = true;
  }
  if (row.created_us != 0) entry.socket.created_us = row.created_us;
  // Without a pid, as in TIME_WAIT, the socket keeps whom it had.
  if (row.pid != 0) {
    entry.pid = row.pid;
    const auto owner = owner_of(row.pid);
    if (owner != nullptr && (entry.socket.owners.empty() || entry.socket.owners[0] != owner)) {
      entry.socket.owners = {owner};
      changed = true;
    }
  }
  if (changed) poll.opened.push_back(&entry.socket);
}

}  // namespace proclabel
