#pragma once

#include <cstdint>
#include <vector>

#include "slice.hh"
#include "socket_source.hh"

namespace proclabel {

/** A row of GetExtendedTcpTable or GetExtendedUdpTable, class OWNER_MODULE. */
struct TableRow {
  SocketRow row;
  /** 0 where Windows does not tell: TIME_WAIT has no process any more. */
  uint32_t pid = 0;
  /** When the socket was bound, microseconds since the epoch; 0 where Windows does not tell. */
  int64_t created_us = 0;
};

enum class Table : uint8_t { tcp4, tcp6, udp4, udp6 };

/** Where a row of each table has its fields, bytes; socket_table.cc holds them to the system's own structures. */
struct RowLayout {
  size_t size;
  size_t local;
  size_t local_port;
  size_t pid;
  size_t created;
  /** 0 in the tables of UDP, which know no remote end. */
  size_t remote;
  size_t remote_port;
  size_t state;
};

/** MIB_TCPROW_OWNER_MODULE, MIB_TCP6ROW_OWNER_MODULE, MIB_UDPROW_OWNER_MODULE and MIB_UDP6ROW_OWNER_MODULE, 64 bits. */
constexpr RowLayout row_layouts[] = {
    {.size = 160, .local = 4, .local_port = 8, .pid = 20, .created = 24, .remote = 12, .remote_port = 16, .state = 0},
    {.size = 192, .local = 0, .local_port = 20, .pid = 52, .created = 56, .remote = 24, .remote_port = 44, .state = 48},
    {.size = 160, .local = 0, .local_port = 4, .pid = 8, .created = 16, .remote = 0, .remote_port = 0, .state = 0},
    {.size = 176, .local = 0, .local_port = 20, .pid = 24, .created = 32, .remote = 0, .remote_port = 0, .state = 0},
};

/** The number of rows comes first; rows are aligned to 8 bytes. */
constexpr size_t first_row = 8;

/** Microseconds since 1970 of a FILETIME (100 ns since 1601); 0 for 0. */
constexpr int64_t file_time_us(uint64_t file_time) {
  return file_time == 0 ? 0 : static_cast<int64_t>(file_time / 10) - 11'644'473'600'000'000;
}

/** Appends the rows of a table as Windows wrote it; as many as the bytes hold. */
void read_table(Table table, Slice bytes, std::vector<TableRow>& rows);

}  // namespace proclabel
