/**
 * Connections or datagrams over loopback, and what each cost this process in all, microseconds of CPU on standard output.
 * `load tcp|udp|connected-udp COUNT`: a connection with a word each way, or a datagram that is sent and received.
 */
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

double cpu_us() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return 1e6 * static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int checked(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

void connect_once(int listener, const sockaddr* to, socklen_t size) {
  char word[8];
  const int client = checked(socket(AF_INET, SOCK_STREAM, 0), "socket");
  checked(connect(client, to, size), "connect");
  const int server = checked(accept(listener, nullptr, nullptr), "accept");
  checked(send(client, "hello", 5, 0), "send");
  checked(recv(server, word, sizeof word, 0), "recv");
  checked(send(server, "hello", 5, 0), "send");
  checked(recv(client, word, sizeof word, 0), "recv");
  // No port is left in TIME_WAIT.
  const linger reset{1, 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(client);
  close(server);
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 64;
  const std::string kind = words[1];
  const int times = atoi(words[2]);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const to = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  const int receiver = checked(socket(AF_INET, kind == "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0), "socket");
  checked(bind(receiver, to, size), "bind");
  checked(getsockname(receiver, to, &size), "getsockname");
  if (kind == "tcp") checked(listen(receiver, 16), "listen");
  const int sender = checked(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  if (kind == "connected-udp") checked(connect(sender, to, size), "connect");

  const double before_us = cpu_us();
  for (int i = 0; i < times; i++) {
    char word[8];
    if (kind == "tcp") {
      connect_once(receiver, to, size);
      // At some pace, so that events are fetched before there are too many.
      if (i % 100 == 99) usleep(1000);
      continue;
    }
    if (kind == "udp") checked(sendto(sender, "hello", 5, 0, to, size), "sendto");
    else checked(send(sender, "hello", 5, 0), "send");
    checked(recv(receiver, word, sizeof word, 0), "recv");
  }
  printf("%f\n", (cpu_us() - before_us) / times);
}
