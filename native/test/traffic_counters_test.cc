#include "linux/traffic_counters.hh"

#include "test.hh"

using namespace proclabel;

namespace {

const std::string snmp =
    "Ip: Forwarding DefaultTTL\nIp: 1 64\n"
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs\n"
    "Tcp: 1 200 120000 -1 30110 10445 18605 2331 14 2769084 2699586\n"
    "Udp: InDatagrams NoPorts\nUdp: 5844 3\nUdpLite: InDatagrams\nUdpLite: 0\n";
const std::string snmp6 = "Udp6NoPorts 1\nUdp6InDatagrams 5\nUdp6OutDatagrams 6\nUdpLite6InDatagrams 9\n";
const std::string sockstat = "sockets: used 154\nTCP: inuse 9 orphan 0 tw 2 alloc 10 mem 1\nUDP: inuse 3 mem 0\n";
const std::string sockstat6 = "TCP6: inuse 2\nUDP6: inuse 1\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST("connections and sockets change the counters of TCP, segments and other sockets do not") {
  const std::string before = tcp_traffic({snmp, snmp6, sockstat, sockstat6});
  CHECK(!before.empty());
  CHECK_EQUAL(tcp_traffic({replaced(snmp, "2769084 2699586", "2769085 2699587"), "", replaced(sockstat, "154", "155"), sockstat6}), before);
  for (const auto& [from, to] : {std::pair("30110", "30111"), std::pair("10445", "10446"), std::pair(" 14 ", " 15 ")})
    CHECK(tcp_traffic({replaced(snmp, from, to), snmp6, sockstat, sockstat6}) != before);
  CHECK(tcp_traffic({snmp, snmp6, replaced(sockstat, "inuse 9", "inuse 8"), sockstat6}) != before);
  CHECK(tcp_traffic({snmp, snmp6, sockstat, replaced(sockstat6, "inuse 2", "inuse 3")}) != before);
}

TEST("datagrams of either family and sockets change the counters of UDP") {
  const std::string before = udp_traffic({snmp, snmp6, sockstat, sockstat6});
  CHECK(!before.empty());
  CHECK_EQUAL(udp_traffic({replaced(snmp, "30110", "30111"), replaced(snmp6, " 9", " 8"), sockstat, sockstat6}), before);
  CHECK(udp_traffic({replaced(snmp, "5844", "5845"), snmp6, sockstat, sockstat6}) != before);
  CHECK(udp_traffic({snmp, replaced(snmp6, " 6", " 7"), sockstat, sockstat6}) != before);
  CHECK(udp_traffic({snmp, snmp6, sockstat, replaced(sockstat6, "inuse 1", "inuse 2")}) != before);
}

TEST("texts that lack the counters tell nothing") {
  CHECK_EQUAL(tcp_traffic({"", snmp6, sockstat, sockstat6}), "");
  CHECK_EQUAL(udp_traffic({snmp, snmp6, "", sockstat6}), "");
  // A kernel without IPv6.
  CHECK(!tcp_traffic({snmp, "", sockstat, ""}).empty());
  for (size_t length = 0; length < snmp.size(); length++) {
    const std::string cut = snmp.substr(0, length);
    tcp_traffic({cut, cut, cut, cut});
    udp_traffic({cut, cut, cut, cut});
  }
}
