#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "socket_source.hh"
#include "test.hh"

using namespace proclabel;

namespace {

/** A listening socket on a free port of the loopback interface. */
class Listener {
 public:
  Listener() : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd, generic, size) < 0 || listen(fd, 1) < 0 || getsockname(fd, generic, &size) < 0) {
      throw std::runtime_error("cannot listen");
    }
    port = ntohs(address.sin_port);
  }
  ~Listener() { close(fd); }
  const int fd;
  uint16_t port;
};

}  // namespace

TEST("a source opens a socket with its owner, says nothing more of it, and closes it") {
  const auto source = open_socket_source(false);
  source->poll(false);
  uint64_t id = 0;
  {
    const Listener listener;
    const auto& opened = source->poll(false).opened;
    const auto found = std::find_if(opened.begin(), opened.end(), [&](const Socket* socket) {
      return socket->row.state == State::listen && socket->row.local_port == listener.port;
    });
    CHECK(found != opened.end());
    CHECK_EQUAL((*found)->owners.size(), 1u);
    CHECK_EQUAL((*found)->owners[0]->pid, getpid());
    CHECK_EQUAL((*found)->owners[0]->parent_pid, getppid());
    id = (*found)->id;
    // Twice around the regular look at all processes.
    for (int i = 0; i < 50; i++) {
      const Poll& poll = source->poll(false);
      CHECK(std::none_of(poll.opened.begin(), poll.opened.end(), [&](const Socket* socket) { return socket->id == id; }));
      CHECK(std::find(poll.closed.begin(), poll.closed.end(), id) == poll.closed.end());
    }
  }
  const Poll& poll = source->poll(false);
  CHECK(std::find(poll.closed.begin(), poll.closed.end(), id) != poll.closed.end());
}

TEST("a descriptor that takes another's place is found, though their number stays the same") {
  const auto source = open_socket_source(false);
  auto first = std::make_unique<Listener>();
  source->poll(false);
  first.reset();
  const Listener second;
  const auto& opened = source->poll(false).opened;
  const auto found = std::find_if(opened.begin(), opened.end(),
                                  [&](const Socket* socket) { return socket->row.local_port == second.port; });
  CHECK(found != opened.end());
  CHECK_EQUAL((*found)->owners.size(), 1u);
}

TEST("a quick poll finds what is on the wire, and a full one the rest") {
  const auto source = open_socket_source(false);
  source->poll(false);
  const auto first = std::make_unique<Listener>();
  const auto is_told = [](const Poll& poll, uint16_t port) {
    return std::any_of(poll.opened.begin(), poll.opened.end(), [&](const Socket* socket) {
      return socket->row.local_port == port && !socket->owners.empty();
    });
  };
  CHECK(is_told(source->poll(true), first->port));
  const int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(9);
  sendto(sender, "", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  socklen_t size = sizeof to;
  getsockname(sender, reinterpret_cast<sockaddr*>(&to), &size);
  CHECK(is_told(source->poll(true), ntohs(to.sin_port)));
  close(sender);
}
