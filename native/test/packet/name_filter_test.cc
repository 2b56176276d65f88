#include "packet/name_filter.hh"

#include "packet/frames.hh"

using namespace proclabel::packet;
using frames::Bytes;
using frames::slice_of;

namespace {

const Bytes hello = {0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};
const Bytes other = frames::text("GET / HTTP/1.1");
const Bytes quic = {0xc0, 0, 0, 0, 1, 8, 1, 2, 3};

/** The low end of a flow. */
struct Sender {
  uint8_t protocol = protocol_tcp;
  uint16_t port = 443;
  NameState state = {};
  uint32_t sequence = 100;

  bool wants(const Bytes& payload, uint8_t flags = 0x10) {
    Packet packet;
    packet.protocol = protocol;
    packet.source_port = 50000;
    packet.destination_port = port;
    packet.tcp_flags = flags;
    packet.tcp_sequence = sequence;
    packet.payload_length = static_cast<uint32_t>(payload.size());
    const bool is_wanted = wants_name(state, packet, slice_of(payload), true);
    sequence += packet.payload_length + ((flags & flag_syn) != 0 ? 1 : 0);
    return is_wanted;
  }
};

}  // namespace

TEST("after its SYN a flow is wanted where a segment begins like TLS") {
  Sender flow;
  CHECK(!flow.wants({}, flag_syn));
  CHECK(!flow.wants(other));
  CHECK(!flow.wants({}));
  CHECK(flow.wants(hello));
}

TEST("a gap in the stream, and a flow without SYN, are the caller's") {
  Sender gap;
  gap.wants({}, flag_syn);
  gap.sequence += 10;
  CHECK(gap.wants(other));
  CHECK(Sender().wants(other));
}

TEST("a hello behind repeated bytes is seen") {
  Sender flow;
  flow.wants({}, flag_syn);
  flow.wants(other);
  flow.sequence -= static_cast<uint32_t>(other.size());
  CHECK(flow.wants(frames::join({other, hello})));
}

TEST("a flow that showed no TLS is left alone after 64 KiB, small segments counting more") {
  Sender flow;
  flow.wants({}, flag_syn);
  for (uint32_t looked = 0; looked + 30 <= 64 * 1024; looked += 30) CHECK(!flow.wants(other));
  CHECK(!flow.state.decided);
  CHECK(!flow.wants(other));
  CHECK(flow.state.decided);
  CHECK(!flow.wants(hello));
}

TEST("what the caller looks at stays with the caller") {
  Sender flow;
  flow.state.with_caller = true;
  CHECK(flow.wants(other) && flow.wants({}, flag_syn));
  CHECK(!flow.wants({}));
  CHECK_EQUAL(flow.state.looked, 0u);
}

TEST("UDP is wanted for QUIC and for DNS answers, and left alone after 32 datagrams of something else") {
  Sender flow{protocol_udp};
  CHECK(flow.wants(quic));
  for (int i = 0; i < 32; i++) CHECK(!flow.wants(other));
  CHECK(!flow.state.decided);
  flow.wants(other);
  CHECK(flow.state.decided);
  Sender query{protocol_udp, 53};
  CHECK(!query.wants(quic));
  CHECK_EQUAL(query.state.looked, 0u);
}

TEST("QUIC versions: 1, 2 and their drafts, mvfst, T050 and T051, and numbers that ask for versions") {
  const auto may_be = [](uint32_t version) {
    return may_be_quic(slice_of(frames::join({{0xc0}, frames::u32(version), {8, 1}})));
  };
  CHECK(may_be(1) && may_be(0x6b3343cf) && may_be(0xff000016) && may_be(0xff000022) && may_be(0xfaceb002));
  CHECK(may_be(0x54303531) && may_be(0x1a2aba4a));
  CHECK(!may_be(0) && !may_be(0xff000015) && !may_be(0xff000023));
  CHECK(!may_be_quic(slice_of({0xc0, 0, 0, 0, 1, 8})));
}

TEST("every beginning of a hello may be one, its first wrong byte ends it") {
  const Bytes changed = frames::join({{0x14, 3, 3, 0, 1, 1}, hello});
  for (const Bytes& whole : {hello, changed})
    for (size_t size = 1; size <= whole.size(); size++) CHECK(may_begin_hello(proclabel::Slice(whole.data(), size)));
  for (const size_t wrong : {0, 1, 5, 6, 9}) {
    Bytes bytes = hello;
    bytes[wrong] = 0x77;
    CHECK(!may_begin_hello(slice_of(bytes)));
  }
}
