#include "windows/etw_tracker.hh"

#include <map>

#include "test.hh"
#include "windows/etw_name.hh"

using namespace proclabel;

namespace {

constexpr int64_t second = 1'000'000;

Address address(uint8_t last) { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last}; }
const EtwEnd here{address(1), 50000}, there{address(2), 443};

EtwEvent socket_event(EventKind kind, uint32_t pid, int64_t ticks, EtwEnd source = here, EtwEnd destination = there) {
  EtwEvent event;
  event.kind = kind;
  event.pid = pid;
  event.ticks = ticks;
  event.source = source;
  event.destination = destination;
  if (kind == EventKind::send || kind == EventKind::receive) event.protocol = Protocol::udp;
  return event;
}

EtwEvent process_event(EventKind kind, uint32_t pid, int64_t ticks, const std::string& image = "") {
  EtwEvent event;
  event.kind = kind;
  event.pid = pid;
  event.ticks = ticks;
  event.start_us = ticks;
  event.image = image;
  return event;
}

std::shared_ptr<const Process> named(uint32_t pid, int64_t start_us, const std::string& name) {
  Process process;
  process.pid = static_cast<int32_t>(pid);
  process.start_us = start_us;
  process.name = name;
  return std::make_shared<Process>(process);
}

/** A host at 192.0.2.1 whose clock of events shows microseconds of the wall. */
struct Host {
  std::map<uint32_t, std::shared_ptr<const Process>> processes;
  EtwTracker tracker{{.process = [this](uint32_t pid) { return processes.contains(pid) ? processes[pid] : nullptr; },
                      .is_local = [](const Address& of) { return of == address(1); },
                      .path = [](const std::string& image) { return "C:" + image; }},
                     10 * second};

  std::vector<SocketEvent> take(std::vector<EtwEvent> told, int64_t until_us = 1000 * second) {
    std::vector<SocketEvent> events;
    tracker.add(told, {.ticks = 20 * second, .ticks_per_second = second, .wall_us = 20 * second});
    tracker.take(until_us, events);
    return events;
  }
};

std::string name_of(const SocketEvent& event) { return event.process == nullptr ? "nobody" : event.process->name; }

}  // namespace

TEST("ticks become time of the wall, also of clocks that do not tick in microseconds and of events after the pair") {
  const ClockPair now{.ticks = 35'000'000'000'000, .ticks_per_second = 10'000'000, .wall_us = 1'764'000'000'000'000};
  CHECK_EQUAL(wall_us_of(now.ticks, now), now.wall_us);
  CHECK_EQUAL(wall_us_of(now.ticks - 10'000'005, now), now.wall_us - 1'000'000);
  CHECK_EQUAL(wall_us_of(now.ticks + 25, now), now.wall_us + 2);
}

TEST("events come in order of time, each once its time has come, this host's end first") {
  Host host;
  host.processes[7] = named(7, second, "a.exe");
  const auto now = host.take({socket_event(EventKind::close, 7, 13 * second), socket_event(EventKind::connect, 7, 11 * second),
                              socket_event(EventKind::accept, 7, 12 * second, there, here)}, 12 * second);
  CHECK_EQUAL(now.size(), 2u);
  CHECK(now[0].kind == EventKind::connect && now[1].kind == EventKind::accept);
  for (const SocketEvent& event : now) {
    CHECK(event.has_remote && event.local == here.address && event.remote == there.address);
    CHECK_EQUAL(event.local_port, here.port);
    CHECK_EQUAL(event.remote_port, there.port);
    CHECK_EQUAL(name_of(event), "a.exe");
  }
  const auto later = host.take({});
  CHECK_EQUAL(later.size(), 1u);
  CHECK(later[0].kind == EventKind::close);
}

TEST("a process that was gone when we looked is named by what its start told") {
  Host host;
  const auto events = host.take({socket_event(EventKind::connect, 9, 12 * second),
                                 process_event(EventKind::process_start, 9, 11 * second, "\\tools\\curl.exe"),
                                 process_event(EventKind::process_exit, 9, 13 * second)});
  CHECK_EQUAL(events.size(), 2u);
  CHECK(events[0].kind == EventKind::process_start && events[1].kind == EventKind::connect);
  CHECK_EQUAL(name_of(events[1]), "curl.exe");
  CHECK_EQUAL(events[1].process->path, "C:\\tools\\curl.exe");
  CHECK_EQUAL(events[1].process->start_us, 11 * second);
}

TEST("a pid that is used again is whoever had it then") {
  Host host;
  host.processes[9] = named(9, 14 * second, "new.exe");
  const auto events = host.take({process_event(EventKind::process_start, 9, 11 * second, "\\old.exe"),
                                 socket_event(EventKind::connect, 9, 12 * second),
                                 process_event(EventKind::process_start, 9, 14 * second, "\\new.exe"),
                                 socket_event(EventKind::connect, 9, 15 * second)});
  CHECK_EQUAL(name_of(events[1]), "old.exe");
  CHECK_EQUAL(name_of(events[3]), "new.exe");
  // Its start was lost: of the time before it, nobody knows.
  Host other;
  other.processes[9] = host.processes[9];
  const auto lost = other.take({socket_event(EventKind::connect, 9, 12 * second), socket_event(EventKind::connect, 9, 15 * second)});
  CHECK_EQUAL(name_of(lost[0]), "nobody");
  CHECK_EQUAL(name_of(lost[1]), "new.exe");
}

TEST("a process of before the session is named though the wall clock was set back meanwhile") {
  Host host;
  host.processes[7] = named(7, 9 * second, "a.exe");
  CHECK_EQUAL(name_of(host.take({socket_event(EventKind::connect, 7, 2 * second)})[0]), "a.exe");
}

TEST("an exit is told of the process that is meant, and of none that nobody knows") {
  Host host;
  host.processes[7] = named(7, second, "a.exe");
  auto exit = process_event(EventKind::process_exit, 7, 12 * second);
  CHECK_EQUAL(host.take({exit}).size(), 0u);
  exit.start_us = second;
  const auto events = host.take({exit});
  CHECK_EQUAL(events.size(), 1u);
  CHECK_EQUAL(name_of(events[0]), "a.exe");
}

TEST("datagrams of one flow are told once a second; TCP events each") {
  Host host;
  std::vector<EtwEvent> told;
  for (int i = 0; i < 30; i++) told.push_back(socket_event(EventKind::send, 7, 10 * second + i * second / 10));
  told.push_back(socket_event(EventKind::receive, 7, 12 * second + 1, there, here));
  told.push_back(socket_event(EventKind::send, 8, 12 * second + 1));
  CHECK_EQUAL(host.take(told).size(), 5u);
  CHECK_EQUAL(host.take({socket_event(EventKind::connect, 7, 13 * second), socket_event(EventKind::connect, 7, 13 * second)}).size(), 2u);
}

TEST("the name of a session tells whose it is") {
  const auto owner = etw_session_owner(etw_session_name({4242, 1'764'115'200'000'001}));
  CHECK(owner.has_value());
  CHECK_EQUAL(owner->pid, 4242u);
  CHECK_EQUAL(owner->start_us, 1'764'115'200'000'001);
  for (const wchar_t* const other : {L"", L"NT Kernel Logger", L"proclabel-", L"proclabel-1", L"proclabel-1-", L"proclabel--1",
                                     L"proclabel-1-2x", L"proclabel-4294967296-1", L"proclabel-1-9999999999999999999"})
    CHECK(!etw_session_owner(other));
}

TEST("a process that is gone names the program that started it, unless that began later") {
  Host host;
  host.processes[4] = named(4, second, "cmd.exe");
  host.processes[5] = named(5, 40 * second, "other.exe");
  EtwEvent first = process_event(EventKind::process_start, 7, 30 * second, "\\x\\curl.exe"), second_one = first;
  first.parent_pid = 4;
  second_one.pid = 8;
  second_one.parent_pid = 5;
  const auto events = host.take({first, second_one});
  CHECK_EQUAL(events.at(0).process->parent_name, "cmd.exe");
  CHECK_EQUAL(events.at(1).process->parent_name, "");
}
