#include "packet/frames.hh"

using namespace frames;
using packet::Reason;

namespace {
const Bytes datagram = ipv4(17, udp(1000, 2000, text("abc")));
}

TEST("of several VLAN tags the one nearest the IP header counts") {
  const Bytes tagged = ethernet(0x88a8, join({u16(0x2007), u16(0x8100), u16(0xe0fe), u16(0x0800), datagram}));
  CHECK_EQUAL(decode(tagged).packet.vlan, 0x0fe);
  CHECK_EQUAL(decode(ethernet(0x0800, datagram)).packet.vlan, packet::no_vlan);
}

TEST("an 802.3 length bounds its LLC frame: what follows is padding") {
  const Bytes llc = join({{0xaa, 0xaa, 3, 0, 0, 0}, u16(0x0800), datagram});
  const Decoded decoded = decode(ethernet(llc.size(), join({llc, Bytes(20)})));
  CHECK_EQUAL(decoded.reason, Reason::ok);
  CHECK_EQUAL(decoded.packet.payload_captured, 3u);
  CHECK_EQUAL(decode(ethernet(10, llc)).reason, Reason::truncated_header);
}

TEST("padding behind the IP packet is no payload") {
  const Decoded decoded = decode(ethernet(0x0800, join({datagram, Bytes(30)})));
  CHECK_EQUAL(decoded.packet.payload_length, 3u);
  CHECK_EQUAL(decoded.packet.payload_captured, 3u);
}

TEST("MACsec without encryption is read through; a frame shorter than its check value is cut, not misread") {
  const Bytes tag = {0, 0, 0, 0, 0, 1};
  CHECK_EQUAL(decode(ethernet(0x88e5, join({tag, u16(0x0800), datagram, Bytes(16)}))).reason, Reason::ok);
  CHECK_EQUAL(decode(ethernet(0x88e5, join({{0x0c, 0, 0, 0, 0, 1}, u16(0x0800), datagram}))).reason, Reason::not_ip);
  CHECK_EQUAL(decode({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0xe5, 0, 0, 0, 0, 0, 1}).reason, Reason::truncated_header);
}

TEST("tags around frames: VN-Tag, E-Tag, FabricPath, 802.1ah, NSH, MPLS, PPPoE") {
  const Bytes inner = ethernet(0x0800, datagram);
  for (const Bytes& frame : {
           ethernet(0x8926, join({Bytes(4), u16(0x0800), datagram})),
           ethernet(0x893f, join({Bytes(6), u16(0x0800), datagram})),
           ethernet(0x8903, join({Bytes(2), inner})),
           ethernet(0x88e7, join({Bytes(4), inner})),
           ethernet(0x894f, join({{0, 2, 1, 3}, u32(0), inner})),
           ethernet(0x8847, join({u32(0x00010000), u32(0x00010100), datagram})),
           ethernet(0x8847, join({u32(0x00010100), u32(0), inner})),
           ethernet(0x8864, join({{0x11, 0}, u16(1), u16(datagram.size() + 2), u16(0x21), datagram})),
       })
    CHECK_EQUAL(decode(frame).reason, Reason::ok);
}

TEST("other EtherTypes are not IP") {
  CHECK_EQUAL(decode(ethernet(0x0806, Bytes(28))).reason, Reason::not_ip);
  CHECK_EQUAL(decode(ethernet(0x8864, join({{0x11, 9}, u16(1), u16(0)}))).reason, Reason::not_ip);
}
