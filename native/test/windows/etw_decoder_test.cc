#include "windows/etw_decoder.hh"

#include <random>

#include "etw_bytes.hh"
#include "test.hh"

using namespace proclabel;

namespace {

constexpr uint64_t created = 134'085'888'000'000'000;  // 2025-11-26T00:00:00Z
constexpr int64_t created_us = 1'764'115'200'000'000;

Address v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}; }
Address v6(uint8_t last) { return {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}; }

std::optional<EtwEvent> decoded(EtwProvider provider, uint16_t id, uint8_t version, const EtwBytes& payload) {
  return decode({.provider = provider, .id = id, .version = version, .payload = Slice(payload.bytes.data(), payload.bytes.size())});
}

/** TCP connect and accept: PID, size, daddr, saddr, dport, sport, mss, sackopt, tsopt, wsopt, rcvwin, rcvwinscale, sndwinscale, seqnum, connid. */
EtwBytes connect4() {
  EtwBytes bytes;
  bytes.add<uint32_t>(4242).add<uint32_t>(0).v4(198, 51, 100, 2).v4(192, 0, 2, 1).port(443).port(50000);
  for (int i = 0; i < 4; i++) bytes.add<uint16_t>(1);
  return bytes.add<uint32_t>(65535).add<uint16_t>(8).add<uint16_t>(8).add<uint32_t>(0).add<uint32_t>(0);
}

EtwBytes udp6() {
  return EtwBytes().add<uint32_t>(7).add<uint32_t>(512).v6(2).v6(1).port(53).port(50001).add<uint32_t>(0).add<uint32_t>(0);
}

}  // namespace

TEST("an event of a socket: the payload's pid, both ends as it names them, ports in network order") {
  const auto event = decoded(EtwProvider::network, 12, 0, connect4());
  CHECK(event.has_value());
  CHECK(event->kind == EventKind::connect && event->protocol == Protocol::tcp);
  CHECK_EQUAL(event->pid, 4242u);
  CHECK(event->source == (EtwEnd{v4(192, 0, 2, 1), 50000}));
  CHECK(event->destination == (EtwEnd{v4(198, 51, 100, 2), 443}));
  const auto datagram = decoded(EtwProvider::network, 58, 0, udp6());
  CHECK(datagram->kind == EventKind::send && datagram->protocol == Protocol::udp);
  CHECK(datagram->source == (EtwEnd{v6(1), 50001}));
  CHECK(datagram->destination == (EtwEnd{v6(2), 53}));
}

TEST("every id that is asked for is decoded, IPv6 as its twin of IPv4, and no other") {
  const std::pair<uint16_t, EventKind> kinds[] = {{12, EventKind::connect}, {13, EventKind::close},  {15, EventKind::accept},
                                                  {16, EventKind::connect}, {42, EventKind::send}, {43, EventKind::receive}};
  int known = 0;
  for (uint16_t id = 0; id < 100; id++) {
    const bool is_v6 = (id >= 28 && id < 42) || id >= 58;
    const auto event = decoded(EtwProvider::network, id, 0, is_v6 ? udp6() : connect4());
    const bool is_asked_for = std::find(std::begin(network_event_ids), std::end(network_event_ids), id) != std::end(network_event_ids);
    CHECK_EQUAL(event.has_value(), is_asked_for);
    if (!event) continue;
    known++;
    for (const auto& [v4_id, kind] : kinds)
      if (id == v4_id || id == v4_id + 16) CHECK(event->kind == kind);
    CHECK_EQUAL(event->pid, is_v6 ? 7u : 4242u);
  }
  CHECK_EQUAL(known, 12);
}

TEST("this host's end is told by its address, and by the kind of the event where that does not tell") {
  EtwEvent event;
  event.kind = EventKind::receive;
  CHECK(source_is_local(event, true, false));
  CHECK(!source_is_local(event, false, true));
  CHECK(!source_is_local(event, true, true));
  event.kind = EventKind::accept;
  CHECK(source_is_local(event, true, true) && source_is_local(event, false, false));
  CHECK(!source_is_local(event, false, true));
}

TEST("a process that starts, in each version of the event") {
  const std::u16string image = u"\\Device\\HarddiskVolume3\\Programme\\\u00fc\u6f22\U0001f600.exe";
  EtwBytes v0, v1, v3;
  v0.add<uint32_t>(9).add(created).add<uint32_t>(8).add<uint32_t>(1).text(image);
  v1.add<uint32_t>(9).add(created).add<uint32_t>(8).add<uint32_t>(1).add<uint32_t>(0).text(image).add<uint32_t>(1).add<uint32_t>(2);
  v3.add<uint32_t>(9).add<uint64_t>(77).add(created).add<uint32_t>(8).add<uint64_t>(76).add<uint32_t>(1).add<uint32_t>(0);
  v3.add<uint32_t>(1).add<uint32_t>(0).sid(8192).text(image).add<uint32_t>(1).add<uint32_t>(2).text(u"").text(u"");
  const auto check = [](const std::optional<EtwEvent>& event) {
    CHECK(event.has_value() && event->kind == EventKind::process_start);
    CHECK_EQUAL(event->pid, 9u);
    CHECK_EQUAL(event->parent_pid, 8u);
    CHECK_EQUAL(event->start_us, created_us);
    CHECK_EQUAL(event->image, "\\Device\\HarddiskVolume3\\Programme\\\xc3\xbc\xe6\xbc\xa2\xf0\x9f\x98\x80.exe");
  };
  check(decoded(EtwProvider::process, 1, 0, v0));
  for (const uint8_t version : {1, 2}) check(decoded(EtwProvider::process, 1, version, v1));
  check(decoded(EtwProvider::process, 15, 0, v1));
  for (const uint8_t version : {3, 4}) check(decoded(EtwProvider::process, 1, version, v3));
  check(decoded(EtwProvider::process, 15, 1, v3));
}

TEST("a process that stops, in each version of the event") {
  EtwBytes v0, v2;
  v0.add<uint32_t>(9).add(created).add(created + 10).add<uint32_t>(0);
  v2.add<uint32_t>(9).add<uint64_t>(77).add(created).add(created + 10).add<uint32_t>(0);
  for (const auto& event : {decoded(EtwProvider::process, 2, 0, v0), decoded(EtwProvider::process, 2, 1, v0),
                            decoded(EtwProvider::process, 2, 2, v2)}) {
    CHECK(event.has_value() && event->kind == EventKind::process_exit);
    CHECK_EQUAL(event->pid, 9u);
    CHECK_EQUAL(event->start_us, created_us);
  }
}

TEST("a payload that ends too soon is no event; half a surrogate pair is no letter") {
  const EtwBytes whole = connect4();
  for (size_t size = 0; size < 20; size++) {
    EtwBytes part;
    part.bytes.assign(whole.bytes.begin(), whole.bytes.begin() + static_cast<ptrdiff_t>(size));
    CHECK(!decoded(EtwProvider::network, 12, 0, part));
  }
  EtwBytes cut;
  cut.add<uint32_t>(9).add(created).add<uint32_t>(8).add<uint32_t>(1).add<uint16_t>('a').add<uint16_t>(0xd83d).add<uint16_t>('b');
  CHECK_EQUAL(decoded(EtwProvider::process, 1, 0, cut)->image, "a\xef\xbf\xbd" "b");
  CHECK(!decoded(EtwProvider::process, 3, 0, cut));
}
