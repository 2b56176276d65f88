/**
 * Processes that open one socket and exit at once, each writing down what it used: the truth of short-connections.e2e.test.ts.
 *
 *   generator peer                              the other side: echoes, and connects when it is told to
 *   generator drive COUNT PEER4 PEER6 OWN4 OWN6 PROGRAMS TRUTH
 *                                               runs COUNT processes, one after the other; appends their lines to TRUTH
 *   generator ROLE FAMILY ADDRESS LOCAL REMOTE  one such process (PROGRAMS is a folder of copies of this, under many names)
 *
 * Pairs of ports come once for each protocol and family in up to 22,400 processes.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int control_port = 9000, first_remote = 10'000, remotes = 700, first_local = 2'000, first_served = 3'000;
/** A local port comes again after so many processes of its kind: within some 100 ms. */
constexpr int ports_in_turn = 8;
constexpr int truth_fd = 3, ready_fd = 4;

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

int checked(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

sockaddr_in6 end(const std::string& address, int port) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  const std::string text = address.find(':') == std::string::npos ? "::ffff:" + address : address;
  if (inet_pton(AF_INET6, text.c_str(), &to.sin6_addr) != 1) fail(address.c_str());
  return to;
}

/** IPv4 by an IPv4 socket, as most programs do. */
struct End {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

End end_of(int family, const char* address, int port) {
  End to;
  if (family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&to.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    if (address != nullptr) inet_pton(AF_INET, address, &v4->sin_addr);
    to.size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&to.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    if (address != nullptr) inet_pton(AF_INET6, address, &v6->sin6_addr);
    to.size = sizeof *v6;
  }
  return to;
}

int port_of(const sockaddr_storage& storage) {
  return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
}

int open_at(int family, int type, int local) {
  const int s = checked(socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == 6) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const timeval patience{2, 0};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  End here = end_of(family, nullptr, local);
  checked(bind(s, here.get(), here.size), "bind");
  return s;
}

long now_us() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

const long begun_us = now_us();

void tell(const char* name, const char* role, const char* proto, int family, int local, int remote, long since_us) {
  char line[256];
  const int length = snprintf(line, sizeof line,
      "{\"role\":\"%s\",\"proto\":\"%s\",\"family\":%d,\"local_port\":%d,\"remote_port\":%d,\"pid\":%d,\"name\":\"%s\",\"life_us\":%ld}\n",
      role, proto, family, local, remote, getpid(), name, now_us() - since_us);
  if (write(truth_fd, line, length) != length) fail("truth");
}

void act_as_tcp_client(int family, const char* address, int local, int remote, bool lingers) {
  const int s = open_at(family, SOCK_STREAM, local);
  End to = end_of(family, address, remote);
  checked(connect(s, to.get(), to.size), "connect");
  char byte = 'x';
  send(s, &byte, 1, 0);
  recv(s, &byte, 1, 0);
  if (!lingers) recv(s, &byte, 1, 0);  // The peer closes first: then the port is free at once.
  const linger at_once{1, 0};
  if (lingers) setsockopt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(s);
}

void act_as_udp_client(int family, const char* address, int local, int remote, bool connected) {
  const int s = open_at(family, SOCK_DGRAM, local);
  End to = end_of(family, address, remote);
  char byte = 'x';
  if (connected) {
    checked(connect(s, to.get(), to.size), "connect");
    send(s, &byte, 1, 0);
  } else {
    sendto(s, &byte, 1, 0, to.get(), to.size);
  }
  recv(s, &byte, 1, 0);
}

/** Answers the port of who came. */
int act_as_tcp_server(int family, int local) {
  const int s = open_at(family, SOCK_STREAM, local);
  checked(listen(s, 4), "listen");
  if (write(ready_fd, "r", 1) != 1) fail("ready");
  End from;
  from.size = sizeof from.storage;
  const int one = checked(accept4(s, from.get(), &from.size, SOCK_CLOEXEC), "accept");
  char byte;
  recv(one, &byte, 1, 0);
  send(one, &byte, 1, 0);
  return port_of(from.storage);
}

int act_as_udp_server(int family, int local) {
  const int s = open_at(family, SOCK_DGRAM, local);
  if (write(ready_fd, "r", 1) != 1) fail("ready");
  End from;
  from.size = sizeof from.storage;
  char byte;
  checked(static_cast<int>(recvfrom(s, &byte, 1, 0, from.get(), &from.size)), "recvfrom");
  sendto(s, &byte, 1, 0, from.get(), from.size);
  return port_of(from.storage);
}

/** What one process does; the truth is told last. */
void act(const char* name, const std::string& role, int family, const char* address, int local, int remote, long since_us) {
  const bool is_tcp = role.starts_with("tcp");
  if (role == "tcp-client") act_as_tcp_client(family, address, local, remote, false);
  else if (role == "tcp-reset") act_as_tcp_client(family, address, local, remote, true);
  else if (role == "tcp-thread") std::thread([&] { act_as_tcp_client(family, address, local, remote, false); }).join();
  else if (role == "udp-client") act_as_udp_client(family, address, local, remote, false);
  else if (role == "udp-connected") act_as_udp_client(family, address, local, remote, true);
  else if (role == "udp-thread") std::thread([&] { act_as_udp_client(family, address, local, remote, false); }).join();
  else if (role == "tcp-server") remote = act_as_tcp_server(family, local);
  else remote = act_as_udp_server(family, local);
  tell(name, role.c_str(), is_tcp ? "tcp" : "udp", family, local, remote, since_us);
}

int run_peer() {
  const rlimit enough{4096, 4096};
  checked(setrlimit(RLIMIT_NOFILE, &enough), "setrlimit");
  std::vector<pollfd> watched;
  const auto watch = [&](int type, int port) {
    const int s = checked(socket(AF_INET6, type, 0), "socket");
    const int on = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 here = end("::", port);
    checked(bind(s, reinterpret_cast<sockaddr*>(&here), sizeof here), "bind");
    if (type == SOCK_STREAM) checked(listen(s, 64), "listen");
    watched.push_back({s, POLLIN, 0});
  };
  watch(SOCK_STREAM, control_port);
  for (int i = 0; i < remotes; i++) watch(SOCK_STREAM, first_remote + i);
  for (int i = 0; i < remotes; i++) watch(SOCK_DGRAM, first_remote + i);
  puts("ready");
  fflush(stdout);
  const int control = checked(accept(watched[0].fd, nullptr, nullptr), "accept");
  watched[0] = {control, POLLIN, 0};
  for (;;) {
    poll(watched.data(), watched.size(), -1);
    for (size_t i = 0; i < watched.size(); i++) {
      if (watched[i].revents == 0) continue;
      char byte;
      if (i == 0) {
        // Command: protocol, family, address, port, own port.
        char line[128]{};
        if (recv(control, line, sizeof line - 1, 0) <= 0) return 0;
        char proto[4], address[64];
        int family, port, own;
        if (sscanf(line, "%3s %d %63s %d %d", proto, &family, address, &port, &own) != 5) fail(line);
        const int s = open_at(family, strcmp(proto, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, own);
        End to = end_of(family, address, port);
        checked(connect(s, to.get(), to.size), "connect to a server");
        send(s, "x", 1, 0);
        recv(s, &byte, 1, 0);
        close(s);
        send(control, "k", 1, 0);
      } else if (i <= remotes) {
        const int one = accept(watched[i].fd, nullptr, nullptr);
        if (recv(one, &byte, 1, 0) == 1) send(one, &byte, 1, MSG_NOSIGNAL);
        close(one);
      } else {
        sockaddr_in6 from;
        socklen_t size = sizeof from;
        if (recvfrom(watched[i].fd, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) == 1)
          sendto(watched[i].fd, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), size);
      }
    }
  }
}

int drive(int count, const char* v4, const char* v6, const char* own_v4, const char* own_v6, const char* folder,
          const char* truth) {
  std::vector<std::string> programs;
  for (const auto& file : std::filesystem::directory_iterator(folder)) programs.push_back(file.path());
  const int opened = checked(open(truth, O_WRONLY | O_CREAT | O_APPEND, 0644), truth);
  if (opened != truth_fd) checked(dup2(opened, truth_fd), "dup2");
  int ready[2];
  checked(pipe(ready), "pipe");
  const int ready_read = fcntl(ready[0], F_DUPFD_CLOEXEC, 10), ready_write = fcntl(ready[1], F_DUPFD_CLOEXEC, 10);
  checked(dup2(ready_write, ready_fd), "dup2");
  const int control = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  End peer = end_of(4, v4, control_port);
  checked(connect(control, peer.get(), peer.size), "connect to the peer");

  const std::vector<const char*> roles{"tcp-client", "udp-client", "tcp-server", "udp-server",
                                       "tcp-reset",  "udp-connected", "tcp-thread", "udp-thread"};
  for (int i = 0; i < count; i++) {
    const std::string role = roles[i % roles.size()];
    const int turn = i / static_cast<int>(roles.size());
    const int family = turn % 2 == 0 ? 4 : 6;
    const int round = turn / 2;
    const bool serves = role.ends_with("server");
    // Roles of one protocol share their local ports; the pair of ports comes once.
    const int lane = static_cast<int>(i % roles.size()) / 2;
    const int local = (serves ? first_served : first_local) + (round + lane) % ports_in_turn;
    const int remote = first_remote + (round / ports_in_turn * 4 + lane) % remotes;
    const long since_us = now_us();
    const pid_t child = checked(fork(), "fork");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const char* address = family == 4 ? v4 : v6;
      if (i % 5 == 0) {
        act("generator", role, family, address, local, remote, since_us);
        _exit(0);
      }
      const std::string& program = programs[i % programs.size()];
      const std::string local_text = std::to_string(local), remote_text = std::to_string(remote);
      execl(program.c_str(), program.c_str(), role.c_str(), family == 4 ? "4" : "6", address, local_text.c_str(),
            remote_text.c_str(), nullptr);
      fail("exec");
    }
    if (serves) {
      char byte;
      if (read(ready_read, &byte, 1) != 1) fail("no server");
      char line[128];
      const int own = 20'000 + i % 40'000;
      const int length = snprintf(line, sizeof line, "%s %d %s %d %d\n", role.substr(0, 3).c_str(), family,
                                  family == 4 ? own_v4 : own_v6, local, own);
      if (send(control, line, length, 0) != length || recv(control, &byte, 1, 0) != 1) fail("the peer is gone");
    }
    int status;
    waitpid(child, &status, 0);
    if (status != 0) fprintf(stderr, "process %d (%s) failed\n", i, role.c_str());
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "peer") return run_peer();
  if (mode == "drive" && count == 9)
    return drive(atoi(arguments[2]), arguments[3], arguments[4], arguments[5], arguments[6], arguments[7], arguments[8]);
  if (count != 6) return 2;
  const std::string name = std::filesystem::path(arguments[0]).filename();
  act(name.c_str(), mode, atoi(arguments[2]), arguments[3], atoi(arguments[4]), atoi(arguments[5]), begun_us);
  return 0;
}
