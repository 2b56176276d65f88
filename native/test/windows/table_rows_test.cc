#include "windows/table_rows.hh"

#include <cstring>
#include <random>

#include "test.hh"

using namespace proclabel;

namespace {

using Bytes = std::vector<uint8_t>;

template <typename T>
void put(Bytes& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/** A port as the tables hold it; Windows leaves the upper half as it was. */
void put_port(Bytes& bytes, size_t at, uint16_t port) {
  put(bytes, at, uint32_t{0xabcd0000} | uint32_t{static_cast<uint8_t>(port)} << 8 | uint32_t{port} >> 8);
}

Bytes table(size_t row_size, const std::vector<Bytes>& rows) {
  Bytes bytes(8);
  put(bytes, 0, static_cast<uint32_t>(rows.size()));
  for (const Bytes& row : rows) bytes.insert(bytes.end(), row.begin(), row.begin() + static_cast<ptrdiff_t>(row_size));
  return bytes;
}

/** MIB_TCPROW_OWNER_MODULE: state, local address and port, remote address and port, pid, time of creation, modules. */
Bytes tcp4_row(uint32_t state, uint32_t pid, uint64_t created = 0) {
  Bytes row(160, 0x5a);
  put(row, 0, state);
  const uint8_t local[] = {192, 0, 2, 1}, remote[] = {198, 51, 100, 2};
  std::memcpy(row.data() + 4, local, 4);
  put_port(row, 8, 50000);
  std::memcpy(row.data() + 12, remote, 4);
  put_port(row, 16, 443);
  put(row, 20, pid);
  put(row, 24, created);
  return row;
}

Address mapped(uint8_t a, uint8_t b, uint8_t c, uint8_t d) { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}; }

std::vector<TableRow> read(Table which, const Bytes& bytes) {
  std::vector<TableRow> rows;
  read_table(which, Slice(bytes.data(), bytes.size()), rows);
  return rows;
}

}  // namespace

TEST("a TCP row of IPv4: both ends, state, pid and when it was bound") {
  // 2026-11-25T00:00:00Z.
  const auto rows = read(Table::tcp4, table(160, {tcp4_row(5, 4242, 134'085'888'000'000'000)}));
  CHECK_EQUAL(rows.size(), 1u);
  const TableRow& row = rows[0];
  CHECK(row.row.protocol == Protocol::tcp && row.row.state == State::established && row.row.has_remote);
  CHECK(row.row.local == mapped(192, 0, 2, 1) && row.row.remote == mapped(198, 51, 100, 2));
  CHECK_EQUAL(row.row.local_port, 50000);
  CHECK_EQUAL(row.row.remote_port, 443);
  CHECK_EQUAL(row.pid, 4242u);
  CHECK_EQUAL(row.created_us, 1'764'115'200'000'000);
}

TEST("a listening row has no remote end, whatever its fields hold; states that TCP does not know are closed") {
  const auto rows = read(Table::tcp4, table(160, {tcp4_row(2, 1), tcp4_row(11, 0), tcp4_row(12, 1), tcp4_row(0xffffffff, 1)}));
  CHECK_EQUAL(rows.size(), 4u);
  CHECK(rows[0].row.state == State::listen && !rows[0].row.has_remote);
  CHECK_EQUAL(rows[0].row.remote_port, 0);
  CHECK(rows[1].row.state == State::time_wait && rows[1].row.has_remote);
  CHECK(rows[2].row.state == State::closed && rows[3].row.state == State::closed);
  CHECK_EQUAL(rows[0].created_us, 0);
}

TEST("rows of IPv6 and of UDP") {
  Bytes tcp6(192);
  tcp6[15] = 1;
  put_port(tcp6, 20, 8080);
  tcp6[39] = 2;
  put_port(tcp6, 44, 50001);
  put<uint32_t>(tcp6, 48, 8);
  put<uint32_t>(tcp6, 52, 7);
  const auto connections = read(Table::tcp6, table(192, {tcp6}));
  CHECK_EQUAL(connections.size(), 1u);
  CHECK(connections[0].row.state == State::close_wait && connections[0].row.local[15] == 1 && connections[0].row.remote[15] == 2);
  CHECK_EQUAL(connections[0].row.local_port, 8080);
  CHECK_EQUAL(connections[0].row.remote_port, 50001);
  CHECK_EQUAL(connections[0].pid, 7u);

  Bytes udp4(160), udp6(176);
  udp4[0] = 127, udp4[3] = 1;
  put_port(udp4, 4, 5353);
  put<uint32_t>(udp4, 8, 9);
  udp6[15] = 1;
  put_port(udp6, 20, 1900);
  put<uint32_t>(udp6, 24, 10);
  const auto four = read(Table::udp4, table(160, {udp4})), six = read(Table::udp6, table(176, {udp6}));
  CHECK(four[0].row.local == mapped(127, 0, 0, 1) && four[0].row.state == State::bound && !four[0].row.has_remote);
  CHECK_EQUAL(four[0].row.local_port, 5353);
  CHECK_EQUAL(four[0].pid, 9u);
  CHECK(six[0].row.protocol == Protocol::udp && six[0].row.local[15] == 1);
  CHECK_EQUAL(six[0].row.local_port, 1900);
  CHECK_EQUAL(six[0].pid, 10u);
}

TEST("a table that tells more rows than it holds gives those that it holds") {
  Bytes bytes = table(160, {tcp4_row(5, 1), tcp4_row(5, 2)});
  put<uint32_t>(bytes, 0, 0xffffffff);
  bytes.resize(bytes.size() - 1);
  CHECK_EQUAL(read(Table::tcp4, bytes).size(), 1u);
  CHECK_EQUAL(read(Table::tcp4, Bytes(3)).size(), 0u);
  std::mt19937 random(1);
  for (int i = 0; i < 2000; i++) {
    Bytes noise(random() % 600);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
    for (const Table which : {Table::tcp4, Table::tcp6, Table::udp4, Table::udp6}) CHECK(read(which, noise).size() <= 4);
  }
}
