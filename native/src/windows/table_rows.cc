#include "windows/table_rows.hh"

#include <algorithm>

namespace proclabel {
namespace {

/** MIB_TCP_STATE, from 1; what else there may be (DELETE_TCB) is closed. */
State tcp_state(uint32_t number) {
  constexpr State states[] = {
      State::closed,     State::closed,     State::listen,  State::syn_sent, State::syn_received, State::established,
      State::fin_wait_1, State::fin_wait_2, State::close_wait, State::closing, State::last_ack,   State::time_wait,
  };
  return number < std::size(states) ? states[number] : State::closed;
}

Address read_address(Slice row, size_t offset, bool is_v6) {
  if (is_v6) return row.read<Address>(offset).value_or(Address{});
  Address mapped{};
  mapped[10] = mapped[11] = 0xff;
  const auto address = row.read<std::array<uint8_t, 4>>(offset).value_or(std::array<uint8_t, 4>{});
  std::copy(address.begin(), address.end(), mapped.begin() + 12);
  return mapped;
}

/** A port lies in the lower half of a DWORD, in network order; the upper half may hold anything. */
uint16_t read_port(Slice row, size_t offset) {
  const auto bytes = row.read<std::array<uint8_t, 2>>(offset).value_or(std::array<uint8_t, 2>{});
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

TableRow read_row(Table table, const RowLayout& layout, Slice bytes) {
  const bool is_v6 = table == Table::tcp6 || table == Table::udp6;
  TableRow row;
  row.pid = bytes.read<uint32_t>(layout.pid).value_or(0);
  row.created_us = file_time_us(bytes.read<uint64_t>(layout.created).value_or(0));
  row.row.local = read_address(bytes, layout.local, is_v6);
  row.row.local_port = read_port(bytes, layout.local_port);
  if (table == Table::udp4 || table == Table::udp6) {
    row.row.protocol = Protocol::udp;
    row.row.state = State::bound;
    return row;
  }
  row.row.state = tcp_state(bytes.read<uint32_t>(layout.state).value_or(0));
  // The remote end of a listening row is not defined.
  if (row.row.state == State::listen) return row;
  row.row.remote_port = read_port(bytes, layout.remote_port);
  row.row.has_remote = row.row.remote_port != 0;
  if (row.row.has_remote) row.row.remote = read_address(bytes, layout.remote, is_v6);
  return row;
}

}  // namespace

void read_table(Table table, Slice bytes, std::vector<TableRow>& rows) {
  const RowLayout& layout = row_layouts[static_cast<size_t>(table)];
  const size_t told = bytes.read<uint32_t>(0).value_or(0);
  const size_t held = bytes.part(first_row).size() / layout.size;
  for (size_t i = 0; i < std::min(told, held); i++)
    rows.push_back(read_row(table, layout, bytes.part(first_row + i * layout.size, layout.size)));
}

}  // namespace proclabel
