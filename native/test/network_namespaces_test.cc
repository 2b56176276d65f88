#include "linux/network_namespaces.hh"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "test.hh"

using namespace proclabel;

namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint32_t sequence = 7;

Address address(const char* text) {
  Address bytes{};
  const std::string mapped = strchr(text, ':') == nullptr ? std::string("::ffff:") + text : text;
  if (inet_pton(AF_INET6, mapped.c_str(), bytes.data()) != 1) throw std::runtime_error("no address");
  return bytes;
}

DiagRow bound_to(const char* local, bool v6_only = false) {
  DiagRow row;
  row.cookie = 9;
  row.row.local = address(local);
  row.row.local_port = 80;
  row.row.v6_only = v6_only;
  return row;
}

std::vector<Address> placed(const DiagRow& row) {
  std::vector<DiagRow> rows;
  append_placed(row, {address("192.0.2.1"), address("2001:db8::1"), address("192.0.2.2")}, rows);
  std::vector<Address> locals;
  for (size_t i = 0; i < rows.size(); i++) {
    CHECK_EQUAL(rows[i].cookie, 9u);
    CHECK_EQUAL(rows[i].row.local_port, 80);
    CHECK_EQUAL(int{rows[i].place}, static_cast<int>(i));
    locals.push_back(rows[i].row.local);
  }
  return locals;
}

void append(Bytes& bytes, const void* data, size_t size) {
  const auto* begin = static_cast<const uint8_t*>(data);
  bytes.insert(bytes.end(), begin, begin + size);
}

/** An answer to RTM_GETADDR with these attributes. */
Bytes answer(uint8_t family, const std::vector<std::pair<uint16_t, Bytes>>& attributes, uint32_t number = sequence) {
  ifaddrmsg body{};
  body.ifa_family = family;
  Bytes payload;
  append(payload, &body, sizeof body);
  for (const auto& [type, value] : attributes) {
    const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
    append(payload, &header, sizeof header);
    append(payload, value.data(), value.size());
  }
  nlmsghdr header{};
  header.nlmsg_len = NLMSG_HDRLEN + payload.size();
  header.nlmsg_type = RTM_NEWADDR;
  header.nlmsg_seq = number;
  Bytes message;
  append(message, &header, sizeof header);
  append(message, payload.data(), payload.size());
  return message;
}

Bytes v4(const char* text) {
  const Address bytes = address(text);
  return Bytes(bytes.begin() + 12, bytes.end());
}

Bytes v6(const char* text) {
  const Address bytes = address(text);
  return Bytes(bytes.begin(), bytes.end());
}

}  // namespace

TEST("a socket of another namespace is told with the addresses that it takes packets for") {
  CHECK(placed(bound_to("0.0.0.0")) == std::vector({address("192.0.2.1"), address("192.0.2.2")}));
  CHECK(placed(bound_to("::", true)) == std::vector({address("2001:db8::1")}));
  CHECK_EQUAL(placed(bound_to("::")).size(), 3u);
  CHECK(placed(bound_to("192.0.2.2")) == std::vector({address("192.0.2.2")}));
  CHECK(placed(bound_to("127.0.0.1")).empty());
  CHECK(placed(bound_to("::1")).empty());
}

TEST("addresses of an interface: one's own end of a cable, none of loopback") {
  Bytes bytes = answer(AF_INET, {{IFA_ADDRESS, v4("192.0.2.99")}, {IFA_LOCAL, v4("192.0.2.1")}});
  for (const Bytes& more : {answer(AF_INET6, {{IFA_ADDRESS, v6("2001:db8::1")}}),
                            answer(AF_INET, {{IFA_LOCAL, v4("127.0.0.1")}}), answer(AF_INET6, {{IFA_ADDRESS, v6("::1")}})})
    append(bytes, more.data(), more.size());
  std::vector<Address> addresses;
  bool is_stale = false;
  CHECK(parse_address_messages(Slice(bytes.data(), bytes.size()), sequence, addresses, is_stale).status == DumpStatus::more);
  CHECK(addresses == std::vector({address("192.0.2.1"), address("2001:db8::1")}));
  CHECK(!is_stale);
  const Bytes change = answer(AF_INET, {{IFA_LOCAL, v4("192.0.2.3")}}, 0);
  parse_address_messages(Slice(change.data(), change.size()), sequence, addresses, is_stale);
  CHECK(is_stale);
  CHECK_EQUAL(addresses.size(), 2u);
}

TEST("cut and damaged answers about addresses are safe") {
  const Bytes whole = answer(AF_INET, {{IFA_LOCAL, v4("192.0.2.1")}, {IFA_ADDRESS, v4("192.0.2.2")}});
  std::mt19937 random(1);
  std::vector<Address> addresses;
  bool is_stale = false;
  for (int round = 0; round < 20'000; round++) {
    Bytes bytes(whole.begin(), whole.begin() + random() % (whole.size() + 1));
    for (int i = random() % 4; i > 0 && !bytes.empty(); i--) bytes[random() % bytes.size()] = random();
    // Of its exact size, so that the sanitizer sees a read beyond it.
    const Bytes exact(bytes.begin(), bytes.end());
    parse_address_messages(Slice(exact.data(), exact.size()), sequence, addresses, is_stale);
  }
}
