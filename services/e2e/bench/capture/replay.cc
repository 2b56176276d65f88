/**
 * Sends the frames of a pcap file on an interface, again and again: `replay INTERFACE FILE PACKETS RATE`, RATE in packets a second or 0
 * for as fast as it goes. Writes how many were sent, and in how many microseconds.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

namespace {

constexpr size_t file_header = 24, record_header = 16, at_once = 64;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

double now_us() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(since).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<iovec> frames;
  for (size_t at = file_header; at + record_header <= bytes.size();) {
    uint32_t captured;
    std::memcpy(&captured, bytes.data() + at + 8, sizeof captured);
    frames.push_back({bytes.data() + at + record_header, captured});
    at += record_header + captured;
  }
  const auto packets = static_cast<size_t>(std::atoll(argv[3]));
  const double rate = std::atof(argv[4]);

  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_IP);
  address.sll_ifindex = static_cast<int>(if_nametoindex(argv[1]));
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) fail("bind");
  const int bypass = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass) < 0) fail("PACKET_QDISC_BYPASS");

  std::vector<mmsghdr> messages(at_once);
  const double start_us = now_us();
  size_t sent = 0;
  while (sent < packets) {
    size_t due = at_once;
    if (rate > 0) {
      const double due_by_now = (now_us() - start_us) * rate / 1e6;
      if (due_by_now < static_cast<double>(sent) + 1) continue;
      due = std::min(at_once, static_cast<size_t>(due_by_now) - sent);
    }
    due = std::min(due, packets - sent);
    for (size_t i = 0; i < due; i++) {
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &frames[(sent + i) % frames.size()];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = sendmmsg(fd, messages.data(), static_cast<unsigned int>(due), 0);
    if (count < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
    if (count > 0) sent += static_cast<size_t>(count);
  }
  std::printf("%zu %.0f\n", sent, now_us() - start_us);
}
