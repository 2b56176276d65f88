#include "packet/frames.hh"

using namespace frames;
using packet::Reason;

namespace {

const Bytes datagram = ipv4(17, udp(1000, 2000));

void check_found(const Bytes& frame, uint16_t link_type) {
  const Decoded decoded = decode(frame, link_type);
  CHECK_EQUAL(decoded.reason, Reason::ok);
  CHECK_EQUAL(decoded.packet.source, address(1));
  CHECK_EQUAL(decoded.packet.destination_port, 2000);
}

}  // namespace

TEST("every link type leads to its IP packet") {
  check_found(ethernet(0x0800, datagram), 1);
  check_found(join({{2, 0, 0, 0}, datagram}), 0);
  check_found(join({{0, 0, 0, 2}, datagram}), 108);
  check_found(join({{0xff, 0x03}, u16(0x21), datagram}), 9);
  check_found(join({{0x21}, datagram}), 50);
  check_found(join({{0x0f, 0}, u16(0x0800), datagram}), 50);
  check_found(join({{0x50}, Bytes(12), {0xaa, 0xaa, 3, 0, 0, 0}, u16(0x0800), datagram}), 10);
  for (const uint16_t raw : {12, 14, 101, 228}) check_found(datagram, raw);
  check_found(join({{0x11, 0}, u16(1), u16(datagram.size() + 2), u16(0x21), datagram}), 51);
  check_found(join({{1}, u16(0x21), datagram}), 204);
  check_found(join({{0xaa, 0xaa, 3, 0, 0, 0}, u16(0x0800), datagram}), 100);
  check_found(join({{61, 2}, Bytes(62), datagram}), 117);
  check_found(join({{0x0f, 0}, u16(0x0800), datagram}), 104);
  check_found(join({Bytes(14), u16(0x0800), datagram}), 113);
  check_found(join({u16(0x0800), Bytes(18), datagram}), 276);
  check_found(join({{2, 0, 0, 0}, {8, 0, 1, 0, 0, 0, 0, 0}, {static_cast<uint8_t>(datagram.size() + 4), 0, 9, 0}, datagram}), 239);
  const Bytes snap = join({{0xaa, 0xaa, 3, 0, 0, 0}, u16(0x0800), datagram});
  check_found(join({{0x10, 0x40, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}, snap}), 6);
  check_found(join({{0x10, 0x40, 1, 2, 3, 4, 5, 6, 0x81, 2, 3, 4, 5, 6, 4, 0, 1, 0x20}, snap}), 6);
  check_found(join({{0x08, 0x01}, Bytes(22), snap}), 105);
  check_found(join({{0x08, 0x03}, Bytes(28), snap}), 105);
  check_found(join({{0x88, 0x82}, Bytes(28), snap}), 105);
  check_found(join({{0, 0, 9, 0, 2, 0, 0, 0, 0}, {0x88, 0x02}, Bytes(24), snap}), 127);
  check_found(join({{0x4d, 0x47, 0x43, 0x80, 0, 3, 1, 1, 6}, ethernet(0x0800, datagram)}), 178);
  check_found(join({{0x4d, 0x47, 0x43, 0x02}, datagram}), 178);
  check_found(join({Bytes(40), u16(0x0800), {0, 0}, datagram}), 242);
  check_found(join({{0x18, 0x41}, {3, 0xcc}, datagram}), 107);
  check_found(join({{0, 0, 8, 0, 1, 0, 0, 0}, ethernet(0x0800, datagram)}), 192);
  check_found(join({{12, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0}, datagram}), 258);
}

TEST("a link type that is not read is named, also inside a wrapper; wrappers do not nest") {
  CHECK_EQUAL(decode(datagram, 189).reason, Reason::unsupported_link_type);
  CHECK_EQUAL(decode(join({{0, 0, 8, 0, 189, 0, 0, 0}, datagram}), 192).reason, Reason::unsupported_link_type);
  CHECK_EQUAL(decode(join({{0, 0, 8, 0, 192, 0, 0, 0}, datagram}), 192).reason, Reason::unsupported_link_type);
}

TEST("link headers that lie about their length are refused") {
  CHECK_EQUAL(decode(join({{0, 0, 7, 0, 1, 0, 0, 0}, datagram}), 192).reason, Reason::bad_header_length);
  CHECK_EQUAL(decode(join({{2, 0, 0, 0}, {3, 0, 1, 0}, datagram}), 239).reason, Reason::bad_header_length);
  CHECK_EQUAL(decode({0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 12, 0, 0, 0}, 258).reason, Reason::truncated_header);
}
