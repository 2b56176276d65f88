#include <cstdlib>

#include "windows/etw_decoder.hh"
#include "windows/table_rows.hh"

using namespace proclabel;

/** One event: a byte for the provider, two of id, one of version, then the payload, whole and cut. The same bytes are a table of sockets. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Slice input(data, size);
  const auto provider = input.read<uint8_t>(0).value_or(0) % 2 == 0 ? EtwProvider::network : EtwProvider::process;
  const uint16_t id = input.read<uint16_t>(1).value_or(0);
  const uint8_t version = input.read<uint8_t>(3).value_or(0);
  const Slice payload = input.part(4);
  const size_t shortest = payload.size() > 80 ? payload.size() - 80 : 0;
  for (size_t length = payload.size() + 1; length-- > shortest;) {
    const auto event = decode({.provider = provider, .id = id, .version = version, .payload = payload.part(0, length)});
    if (event && event->image.size() > length * 3 / 2) std::abort();
  }
  std::vector<TableRow> rows;
  for (const Table table : {Table::tcp4, Table::tcp6, Table::udp4, Table::udp6}) read_table(table, input, rows);
  if (rows.size() > 4 * size / 160) std::abort();
  return 0;
}
