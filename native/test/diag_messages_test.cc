#include "linux/diag_messages.hh"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "test.hh"

using namespace proclabel;

namespace {

constexpr uint32_t sequence = 7;
using Bytes = std::vector<uint8_t>;

void append(Bytes& bytes, const void* data, size_t size) {
  const auto* begin = static_cast<const uint8_t*>(data);
  bytes.insert(bytes.end(), begin, begin + size);
}

/** A netlink message as the kernel lays it out: header, payload, padding to 4 bytes. */
Bytes message(uint16_t type, const Bytes& payload, uint32_t number = sequence) {
  nlmsghdr header{};
  header.nlmsg_len = NLMSG_HDRLEN + payload.size();
  header.nlmsg_type = type;
  header.nlmsg_seq = number;
  Bytes bytes;
  append(bytes, &header, sizeof header);
  append(bytes, payload.data(), payload.size());
  bytes.resize(NLMSG_ALIGN(bytes.size()));
  return bytes;
}

Bytes number(int32_t value) {
  Bytes bytes;
  append(bytes, &value, sizeof value);
  return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
  append(a, b.data(), b.size());
  return a;
}

struct RowOptions {
  uint8_t state = 1;
  const char* local = "192.0.2.1";
  const char* remote = "198.51.100.2";
  uint16_t remote_port = 443;
  int v6_only = -1;
};

Bytes row(int family, const RowOptions& options) {
  inet_diag_msg body{};
  body.idiag_family = family;
  body.idiag_state = options.state;
  inet_pton(family, options.local, body.id.idiag_src);
  inet_pton(family, options.remote, body.id.idiag_dst);
  body.id.idiag_sport = htons(40000);
  body.id.idiag_dport = htons(options.remote_port);
  body.id.idiag_cookie[0] = 5;
  body.id.idiag_cookie[1] = 1;
  body.idiag_inode = 49437;
  Bytes bytes;
  append(bytes, &body, sizeof body);
  // As in the kernel's answers, another attribute stands in front.
  const uint8_t shutdown[] = {5, 0, INET_DIAG_SHUTDOWN, 0, 3, 0, 0, 0};
  append(bytes, shutdown, sizeof shutdown);
  if (options.v6_only >= 0) {
    const uint8_t attribute[] = {5, 0, INET_DIAG_SKV6ONLY, 0, static_cast<uint8_t>(options.v6_only), 0, 0, 0};
    append(bytes, attribute, sizeof attribute);
  }
  return message(TCPDIAG_GETSOCK, bytes);
}

std::vector<DiagRow> parse(const Bytes& bytes, Protocol protocol, DumpStatus expected, int error = 0) {
  std::vector<DiagRow> rows;
  const auto progress = parse_diag_messages(Slice(bytes.data(), bytes.size()), protocol, sequence, rows);
  CHECK_EQUAL(static_cast<int>(progress.status), static_cast<int>(expected));
  CHECK_EQUAL(progress.error, error);
  return rows;
}

std::string text(const Address& address) {
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, address.data(), buffer, sizeof buffer);
}

}  // namespace

TEST("an IPv4 connection: ends, identity, inode") {
  const auto rows = parse(row(AF_INET, {}), Protocol::tcp, DumpStatus::more);
  CHECK_EQUAL(rows.size(), 1u);
  CHECK_EQUAL(rows[0].cookie, (uint64_t{1} << 32) + 5);
  CHECK_EQUAL(rows[0].inode, 49437u);
  CHECK(rows[0].row.state == State::established);
  CHECK_EQUAL(text(rows[0].row.local), "::ffff:192.0.2.1");
  CHECK_EQUAL(text(rows[0].row.remote), "::ffff:198.51.100.2");
  CHECK_EQUAL(rows[0].row.local_port, 40000);
  CHECK_EQUAL(rows[0].row.remote_port, 443);
  CHECK(rows[0].row.has_remote);
}

TEST("an IPv6 socket that carries IPv4 has v4-mapped ends") {
  const auto rows =
      parse(row(AF_INET6, {.local = "::ffff:192.0.2.1", .remote = "::ffff:198.51.100.2"}), Protocol::tcp, DumpStatus::more);
  CHECK(rows[0].row == parse(row(AF_INET, {}), Protocol::tcp, DumpStatus::more)[0].row);
}

TEST("every TCP state by its name, and UDP as bound") {
  const State expected[] = {State::established, State::syn_sent,  State::syn_received, State::fin_wait_1,
                            State::fin_wait_2,  State::time_wait, State::closed,       State::close_wait,
                            State::last_ack,    State::listen,    State::closing,      State::syn_received};
  for (uint8_t state = 1; state <= 12; state++) {
    CHECK(parse(row(AF_INET, {.state = state}), Protocol::tcp, DumpStatus::more)[0].row.state == expected[state - 1]);
    CHECK(parse(row(AF_INET, {.state = state}), Protocol::udp, DumpStatus::more)[0].row.state == State::bound);
  }
}

TEST("a listening and an unconnected socket have no remote end") {
  const RowOptions listening{.state = 10, .local = "::", .remote = "::", .remote_port = 0, .v6_only = 0};
  CHECK(!parse(row(AF_INET6, listening), Protocol::tcp, DumpStatus::more)[0].row.has_remote);
  const RowOptions unconnected{.state = 7, .local = "0.0.0.0", .remote = "0.0.0.0", .remote_port = 0};
  CHECK(!parse(row(AF_INET, unconnected), Protocol::udp, DumpStatus::more)[0].row.has_remote);
}

TEST("v6_only comes from its attribute, for wildcards alone") {
  RowOptions options{.state = 10, .local = "::", .remote = "::", .remote_port = 0};
  for (const int value : {-1, 0, 1}) {
    options.v6_only = value;
    CHECK_EQUAL(parse(row(AF_INET6, options), Protocol::tcp, DumpStatus::more)[0].row.v6_only, value == 1);
  }
  options.local = "2001:db8::1";
  CHECK(!parse(row(AF_INET6, options), Protocol::tcp, DumpStatus::more)[0].row.v6_only);
}

TEST("a dump ends with DONE; one that failed says why") {
  const Bytes both = row(AF_INET, {}) + message(NLMSG_DONE, number(0));
  CHECK_EQUAL(parse(both, Protocol::tcp, DumpStatus::done).size(), 1u);
  parse(message(NLMSG_DONE, {}), Protocol::tcp, DumpStatus::done);
  parse(message(NLMSG_DONE, number(-ENOMEM)), Protocol::tcp, DumpStatus::failed, ENOMEM);
  parse(message(NLMSG_ERROR, number(-EPERM)), Protocol::tcp, DumpStatus::failed, EPERM);
}

TEST("answers to another request are passed over") {
  Bytes stale = row(AF_INET, {});
  stale[8] = sequence - 1;
  const Bytes bytes = stale + message(NLMSG_DONE, number(0), sequence - 1) + row(AF_INET, {});
  CHECK_EQUAL(parse(bytes, Protocol::tcp, DumpStatus::more).size(), 1u);
}

TEST("a message cut anywhere gives no row and no read beyond the end") {
  const Bytes whole = row(AF_INET6, {.v6_only = 1});
  for (size_t length = 1; length < whole.size(); length++) {
    const Bytes cut(whole.begin(), whole.begin() + length);
    CHECK(parse(cut, Protocol::tcp, DumpStatus::failed, EBADMSG).empty());
  }
}

TEST("a message too short for its row gives no row") {
  for (size_t length = 0; length < sizeof(inet_diag_msg); length++) {
    CHECK(parse(message(TCPDIAG_GETSOCK, Bytes(length, AF_INET)), Protocol::tcp, DumpStatus::more).empty());
  }
}

TEST("no bytes make the parser read beyond their end, or go on for ever") {
  std::mt19937 random(1);
  const Bytes seed = row(AF_INET, {}) + row(AF_INET6, {.local = "::", .v6_only = 1}) + message(NLMSG_DONE, number(0));
  for (int round = 0; round < 30000; round++) {
    Bytes bytes = seed;
    for (int edits = random() % 12; edits > 0; edits--) bytes[random() % bytes.size()] = random();
    bytes.resize(random() % (bytes.size() + 1));
    bytes.shrink_to_fit();
    std::vector<DiagRow> rows;
    parse_diag_messages(Slice(bytes.data(), bytes.size()), Protocol::tcp, sequence, rows);
    CHECK(rows.size() <= seed.size() / NLMSG_HDRLEN);
  }
}
