#include "packet/host_table.hh"

#include <limits>

#include "packet/frames.hh"

using frames::address;
using proclabel::packet::HostTable;

namespace {
constexpr double open = std::numeric_limits<double>::infinity();
}

TEST("an address belongs to the host whose span holds the time, else to the nearest one") {
  HostTable table;
  table.add(address(1), -open, 100, 1);
  table.add(address(1), 200, open, 2);
  CHECK_EQUAL(table.host_of(address(1), 50), 1);
  CHECK_EQUAL(table.host_of(address(1), 140), 1);
  CHECK_EQUAL(table.host_of(address(1), 160), 2);
  CHECK_EQUAL(table.host_of(address(2), 50), HostTable::nobody);
}

TEST("an address that several hosts have at once tells nothing, unless it is one host twice") {
  HostTable table;
  for (const int32_t host : {1, 2, 1}) table.add(address(1), -open, open, host);
  CHECK_EQUAL(table.host_of(address(1), 0), HostTable::nobody);
  for (const int32_t host : {3, 3}) table.add(address(2), -open, open, host);
  CHECK_EQUAL(table.host_of(address(2), 0), 3);
}
