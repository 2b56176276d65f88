#pragma once

#include <cstdint>
#include <vector>

#include "windows/table_rows.hh"

namespace proclabel {

/** Asks Windows for its tables of sockets. */
class SocketTable {
 public:
  /** Every TCP and UDP socket, IPv4 and IPv6; the rows before are dropped. Throws SourceError. */
  void read(std::vector<TableRow>& rows);

 private:
  void read(Table table, std::vector<TableRow>& rows);

  /** Grows to the largest table there was. Of 8-byte words, for the alignment of rows. */
  std::vector<uint64_t> buffer_ = std::vector<uint64_t>(8192);
};

}  // namespace proclabel
