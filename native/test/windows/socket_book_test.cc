#include "windows/socket_book.hh"

#include <map>

#include "test.hh"

using namespace proclabel;

namespace {

TableRow tcp(State state, uint32_t pid, uint16_t local_port, uint16_t remote_port, int64_t created_us = 0) {
  TableRow row;
  row.row.state = state;
  row.row.local_port = local_port;
  row.row.remote_port = remote_port;
  row.row.has_remote = remote_port != 0;
  row.row.local[15] = 1;
  row.row.remote[15] = remote_port != 0 ? 2 : 0;
  row.pid = pid;
  row.created_us = created_us;
  return row;
}

TableRow udp(uint32_t pid, uint16_t port) {
  TableRow row = tcp(State::bound, pid, port, 0);
  row.row.protocol = Protocol::udp;
  return row;
}

/** A book over processes that each have the pid as their name. */
struct Desk {
  SocketBook book;
  Poll poll;
  std::map<uint32_t, std::shared_ptr<const Process>> processes;

  const Poll& apply(const std::vector<TableRow>& rows) {
    book.apply(
        rows,
        [this](uint32_t pid) {
          auto& process = processes[pid];
          if (process == nullptr) {
            Process named;
            named.pid = static_cast<int32_t>(pid);
            process = std::make_shared<Process>(named);
          }
          return process;
        },
        poll);
    return poll;
  }
};

std::string owners(const Socket& socket) {
  std::string text;
  for (const auto& owner : socket.owners) text += std::to_string(owner->pid) + " ";
  return text;
}

}  // namespace

TEST("a poll tells what is new, what changed and what is gone, and nothing else") {
  Desk desk;
  CHECK_EQUAL(desk.apply({tcp(State::syn_sent, 7, 50000, 443), udp(8, 5353)}).opened.size(), 2u);
  const uint64_t id = desk.poll.opened[0]->id, udp_id = desk.poll.opened[1]->id;
  CHECK(id != udp_id);
  CHECK_EQUAL(desk.apply({tcp(State::syn_sent, 7, 50000, 443), udp(8, 5353)}).opened.size(), 0u);
  desk.apply({udp(8, 5353), tcp(State::established, 7, 50000, 443)});
  CHECK_EQUAL(desk.poll.opened.size(), 1u);
  CHECK_EQUAL(desk.poll.opened[0]->id, id);
  CHECK_EQUAL(owners(*desk.poll.opened[0]), "7 ");
  CHECK_EQUAL(desk.poll.closed.size(), 0u);
  CHECK_EQUAL(desk.apply({tcp(State::established, 7, 50000, 443)}).closed.size(), 1u);
  CHECK_EQUAL(desk.poll.closed[0], udp_id);
  CHECK_EQUAL(desk.poll.total, 1u);
}

TEST("TIME_WAIT, which has no pid, leaves the socket its owner, and has none when it is all that was seen") {
  Desk desk;
  const uint64_t id = desk.apply({tcp(State::established, 7, 50000, 443, 5)}).opened[0]->id;
  desk.apply({tcp(State::time_wait, 0, 50000, 443), tcp(State::time_wait, 0, 50001, 443)});
  CHECK_EQUAL(desk.poll.opened.size(), 2u);
  CHECK_EQUAL(desk.poll.closed.size(), 0u);
  CHECK_EQUAL(desk.poll.opened[0]->id, id);
  CHECK(desk.poll.opened[0]->row.state == State::time_wait);
  CHECK_EQUAL(owners(*desk.poll.opened[0]), "7 ");
  CHECK_EQUAL(desk.poll.opened[0]->created_us, 5);
  CHECK_EQUAL(owners(*desk.poll.opened[1]), "");
}

TEST("the same ends after TIME_WAIT, of another process or bound at another time, are another socket") {
  const auto is_other = [](const TableRow& first, const TableRow& second) {
    Desk desk;
    const uint64_t id = desk.apply({first}).opened[0]->id;
    desk.apply({second});
    if (desk.poll.closed.empty()) return false;
    CHECK_EQUAL(desk.poll.closed[0], id);
    CHECK_EQUAL(desk.poll.opened.size(), 1u);
    CHECK(desk.poll.opened[0]->id != id);
    CHECK_EQUAL(owners(*desk.poll.opened[0]), std::to_string(second.pid) + " ");
    CHECK_EQUAL(desk.poll.total, 1u);
    return true;
  };
  CHECK(is_other(tcp(State::time_wait, 0, 50000, 443), tcp(State::syn_sent, 7, 50000, 443)));
  CHECK(is_other(tcp(State::established, 7, 50000, 443), tcp(State::established, 8, 50000, 443)));
  CHECK(is_other(tcp(State::established, 7, 50000, 443, 5), tcp(State::established, 7, 50000, 443, 6)));
  CHECK(is_other(tcp(State::listen, 7, 80, 0, 5), tcp(State::listen, 7, 80, 0, 6)));
  CHECK(!is_other(tcp(State::established, 7, 50000, 443, 5), tcp(State::fin_wait_1, 7, 50000, 443, 5)));
  CHECK(!is_other(tcp(State::syn_sent, 0, 50000, 443), tcp(State::established, 7, 50000, 443, 5)));
}

TEST("several processes on one multicast port are several sockets") {
  Desk desk;
  desk.apply({udp(7, 5353), udp(8, 5353), udp(8, 5353)});
  CHECK_EQUAL(desk.poll.opened.size(), 2u);
  CHECK_EQUAL(desk.apply({udp(8, 5353)}).closed.size(), 1u);
}

TEST("a process that hosts another service is told anew") {
  Desk desk;
  desk.apply({udp(7, 53)});
  auto changed = std::make_shared<Process>(*desk.processes[7]);
  changed->services = {"Dnscache"};
  desk.processes[7] = changed;
  CHECK_EQUAL(desk.apply({udp(7, 53)}).opened.size(), 1u);
  CHECK_EQUAL(desk.poll.opened[0]->owners[0]->services[0], "Dnscache");
  CHECK_EQUAL(desk.apply({udp(7, 53)}).opened.size(), 0u);
}
