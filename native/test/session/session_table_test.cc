#include "session/session_table.hh"

#include <map>
#include <random>
#include <string>

#include "packet/batch_builder.hh"
#include "packet/frames.hh"
#include "session/batch_columns.hh"
#include "session/session_text.hh"

using namespace proclabel::session;
using proclabel::packet::BatchBuilder;
using proclabel::packet::Packet;
using proclabel::packet::protocol_tcp;

namespace {

const Judged judged = {R"("label":null)", R"("label":"other")"};

std::string line_of(const Session& session) {
  std::string line(8192, '\0');
  line.resize(write_line(line, session, judged, "null").value());
  return line;
}

}  // namespace

TEST("every packet is in one session, through growth, reuse and expiry, and every session is written once") {
  std::mt19937 random(1);
  SessionTable table;
  BatchBuilder builder;
  std::map<uint64_t, uint32_t> flows;
  uint64_t sent = 0, counted = 0, sessions = 0;
  double now_us = 1e15;
  const auto take_ended = [&] {
    for (const uint32_t entry : table.ended()) {
      counted += table[entry].packets[0] + table[entry].packets[1];
      sessions++;
      CHECK_EQUAL(line_of(table[entry]).substr(0, 15), R"({"session_id":")");
    }
    table.forget_ended();
  };
  for (int batch = 0; batch < 60; batch++) {
    flows.clear();
    for (int i = 0; i < 3000; i++) {
      Packet packet;
      now_us += random() % 20'000;
      packet.time_us = now_us;
      packet.source = frames::address(static_cast<uint8_t>(random() % 200));
      packet.destination = frames::address(201);
      packet.source_port = static_cast<uint16_t>(random() % 40);
      packet.destination_port = 80;
      packet.protocol = random() % 3 == 0 ? 17 : protocol_tcp;
      packet.tcp_flags = packet.protocol == protocol_tcp ? static_cast<uint8_t>(random() % 32) : 0;
      packet.tcp_sequence = static_cast<uint32_t>(random());
      packet.ip_length = static_cast<uint32_t>(random() % 1500);
      const uint64_t key = packet.source.tail ^ packet.source_port ^ uint64_t{packet.protocol} << 16;
      const auto [known, is_new] = flows.try_emplace(key, 0);
      if (is_new)
        known->second = builder.add_flow(packet.source, packet.destination, packet.source_port,
                                         packet.destination_port, packet);
      builder.add_packet(known->second, packet, random() % 2 == 0);
      sent++;
    }
    const auto built = builder.build();
    const BatchColumns columns = columns_of(built);
    CHECK(columns.fit());
    table.apply(columns, built.base_us, batch % 10 == 9, {}, {});
    table.advance(now_us);
    take_ended();
  }
  table.finish();
  take_ended();
  CHECK_EQUAL(counted, sent);
  CHECK(sessions > 50'000);
}

TEST("columns that do not fit each other are refused") {
  BatchBuilder builder;
  Packet packet;
  packet.protocol = protocol_tcp;
  packet.tcp_flags = proclabel::packet::flag_syn;
  builder.add_packet(builder.add_flow({}, {}, 1, 2, packet), packet, false);
  const auto batch = builder.build();
  const BatchColumns sound = columns_of(batch);
  CHECK(sound.fit());
  BatchColumns without_sequence = sound, without_flow = sound, short_times = sound;
  without_sequence.syn_sequence = Column<uint32_t>({});
  without_flow.flow_protocol = Column<uint8_t>({});
  short_times.packet_time = Column<int32_t>({});
  CHECK(!without_sequence.fit() && !without_flow.fit() && !short_times.fit());
}

TEST("a line is written where it has room, or not at all") {
  Session session;
  session.protocol = protocol_tcp;
  session.splt_count = Session::first_packets;
  session.splt.fill({INT32_MIN, INT32_MIN});
  session.is_in = true;
  std::string line(16'384, '\0');
  CHECK(!write_line(std::span(line).first(100), session, judged, "null"));
  const auto length = write_line(line, session, judged, "null");
  CHECK(length.has_value() && line.find(R"({"len":2147483648,"gap_us":-2147483648}]})") != std::string::npos);
}

TEST("addresses are written as RFC 5952 says") {
  const auto text = [](std::initializer_list<uint16_t> groups) {
    Address address;
    auto* at = reinterpret_cast<uint8_t*>(&address);
    for (const uint16_t group : groups) {
      *at++ = static_cast<uint8_t>(group >> 8);
      *at++ = static_cast<uint8_t>(group);
    }
    return address_text(address);
  };
  CHECK_EQUAL(text({0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0001}), "10.0.0.1");
  CHECK_EQUAL(text({0, 0, 0, 0, 0, 0, 0, 0}), "::");
  CHECK_EQUAL(text({0, 0, 0, 0, 0, 0, 0, 1}), "::1");
  CHECK_EQUAL(text({0xfe80, 0, 0, 0, 0, 0, 0, 0}), "fe80::");
  CHECK_EQUAL(text({0x2001, 0xdb8, 0, 1, 0, 0, 0, 1}), "2001:db8:0:1::1");
  CHECK_EQUAL(text({0x2001, 0xdb8, 0, 1, 1, 1, 1, 1}), "2001:db8:0:1:1:1:1:1");
  CHECK_EQUAL(text({1, 0, 0, 2, 0, 0, 3, 4}), "1::2:0:0:3:4");
}
