#include "windows/socket_table.hh"

// Before windows.h, which would bring the sockets of an older interface.
#include <winsock2.h>

#include <ws2tcpip.h>

#include <iphlpapi.h>

#include <cstddef>

#include "windows/system_error.hh"

namespace proclabel {
namespace {

constexpr const RowLayout& layout(Table table) { return row_layouts[static_cast<size_t>(table)]; }

#define MATCHES(table, type, member, field) \
  static_assert(offsetof(type, member) == layout(Table::table).field)
#define ROW_MATCHES(table, type, address, port)                     \
  static_assert(sizeof(type) == layout(Table::table).size);         \
  MATCHES(table, type, address, local);                             \
  MATCHES(table, type, port, local_port);                           \
  MATCHES(table, type, dwOwningPid, pid);                           \
  MATCHES(table, type, liCreateTimestamp, created)
#define TCP_ROW_MATCHES(table, type, address, port, remote_address, remote_port_field) \
  ROW_MATCHES(table, type, address, port);                                            \
  MATCHES(table, type, remote_address, remote);                                       \
  MATCHES(table, type, remote_port_field, remote_port);                               \
  MATCHES(table, type, dwState, state)

TCP_ROW_MATCHES(tcp4, MIB_TCPROW_OWNER_MODULE, dwLocalAddr, dwLocalPort, dwRemoteAddr, dwRemotePort);
TCP_ROW_MATCHES(tcp6, MIB_TCP6ROW_OWNER_MODULE, ucLocalAddr, dwLocalPort, ucRemoteAddr, dwRemotePort);
ROW_MATCHES(udp4, MIB_UDPROW_OWNER_MODULE, dwLocalAddr, dwLocalPort);
ROW_MATCHES(udp6, MIB_UDP6ROW_OWNER_MODULE, ucLocalAddr, dwLocalPort);
static_assert(offsetof(MIB_TCPTABLE_OWNER_MODULE, table) == first_row);
static_assert(offsetof(MIB_UDP6TABLE_OWNER_MODULE, table) == first_row);

DWORD ask(Table table, void* buffer, DWORD* size) {
  const ULONG family = table == Table::tcp6 || table == Table::udp6 ? AF_INET6 : AF_INET;
  if (table == Table::tcp4 || table == Table::tcp6)
    return GetExtendedTcpTable(buffer, size, FALSE, family, TCP_TABLE_OWNER_MODULE_ALL, 0);
  return GetExtendedUdpTable(buffer, size, FALSE, family, UDP_TABLE_OWNER_MODULE, 0);
}

}  // namespace

void SocketTable::read(std::vector<TableRow>& rows) {
  rows.clear();
  for (const Table table : {Table::tcp4, Table::tcp6, Table::udp4, Table::udp6}) read(table, rows);
}

void SocketTable::read(Table table, std::vector<TableRow>& rows) {
  for (;;) {
    DWORD size = static_cast<DWORD>(buffer_.size() * sizeof(uint64_t));
    const DWORD error = ask(table, buffer_.data(), &size);
    if (error == NO_ERROR) return read_table(table, Slice(buffer_.data(), buffer_.size() * sizeof(uint64_t)), rows);
    // A host without IPv6 has no table of it.
    if (error == ERROR_NOT_SUPPORTED && (table == Table::tcp6 || table == Table::udp6)) return;
    if (error != ERROR_INSUFFICIENT_BUFFER) throw system_error("cannot read the table of sockets", error);
    buffer_.resize(size / sizeof(uint64_t) * 5 / 4 + 1024);
  }
}

}  // namespace proclabel
