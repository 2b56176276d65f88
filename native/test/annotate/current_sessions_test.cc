#include "annotate/current_sessions.hh"

#include <cstdio>
#include <filesystem>
#include <random>
#include <vector>

#include "annotate/session_text.hh"
#include "test.hh"

using namespace proclabel::annotate;
using proclabel::packet::FlowKey;

namespace {

constexpr double second = 1e6;

/** A file that is gone with it. */
struct SpoolFile {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("proclabel-spool-" + std::to_string(std::random_device()()));
  ~SpoolFile() { std::filesystem::remove(path); }
};

NotedSession noted(const std::string& id, int revision, double first_us, double last_us, int port, const std::string& comment) {
  NotedSession made;
  std::string facts;
  CHECK(read_session_line(session_text(id, revision, first_us, last_us, port), made.session, facts));
  made.note = std::make_shared<const Note>(Note{comment});
  return made;
}

FlowKey flow_of(int port) { return noted("", 0, 0, 0, port, "").session.flow; }

std::string comments(CurrentSessions& sessions, int port, double time_us) {
  std::string all;
  for (const CurrentSession* one : sessions.find(flow_of(port), time_us)) all += one->note->comment + ";";
  return all;
}

}  // namespace

TEST("sessions of any number come in the order of their first packets, from the file and from memory, as often as asked") {
  SpoolFile file;
  SessionSpool spool(file.path.string(), 100);
  std::mt19937 random(1);
  for (int i = 0; i < 1'050; i++) {
    const double first = random() % 500;
    spool.add(noted(std::to_string(i), 0, first, first + 1, 1, std::string(i % 300, 'c')));
  }
  CHECK(std::filesystem::exists(file.path));
  for (int round = 0; round < 2; round++, spool.rewind()) {
    double before = -1;
    uint64_t order = 0;
    size_t count = 0;
    for (const NotedSession* next = spool.head(); next != nullptr; next = spool.head(), count++) {
      const Session& session = next->session;
      CHECK(session.first_us > before || (session.first_us == before && session.order > order));
      CHECK_EQUAL(session.id_text(), std::to_string(session.order));
      CHECK_EQUAL(next->note->comment, std::string(session.order % 300, 'c'));
      before = session.first_us;
      order = session.order;
      spool.pop();
    }
    CHECK_EQUAL(count, 1'050u);
  }
}

TEST("a packet finds the sessions that cover its time, by the latest revision, in the order in which they were read") {
  SessionSpool spool("", 100);
  spool.add(noted("a", 1, 10 * second, 20 * second, 1, "new"));
  spool.add(noted("a", 0, 10 * second, 15 * second, 1, "old"));
  spool.add(noted("b", 0, 5 * second, 12 * second, 1, "peer"));
  spool.add(noted("c", 0, 30 * second, 40 * second, 1, "later"));
  CurrentSessions sessions(spool);
  CHECK_EQUAL(comments(sessions, 1, 4 * second), "");
  CHECK_EQUAL(comments(sessions, 1, 5 * second), "peer;");
  CHECK_EQUAL(comments(sessions, 1, 11 * second), "new;peer;");
  CHECK_EQUAL(comments(sessions, 2, 11 * second), "");
  CHECK_EQUAL(comments(sessions, 1, 20 * second), "new;");
  CHECK_EQUAL(comments(sessions, 1, 20 * second + 1), "");
  CHECK_EQUAL(comments(sessions, 1, 40 * second), "later;");
}

TEST("sessions that ended are let go of, and come again where time goes back") {
  SpoolFile file;
  SessionSpool spool(file.path.string(), 1'000);
  constexpr int count = 10'000;
  for (int i = 0; i < count; i++)
    spool.add(noted(std::to_string(i), 0, i * second, (i + 1) * second, 1 + i % 60'000, std::to_string(i)));
  CurrentSessions sessions(spool);
  size_t most = 0;
  for (int i = 0; i < count; i++) {
    CHECK_EQUAL(comments(sessions, 1 + i, (i + 0.5) * second), std::to_string(i) + ";");
    most = std::max(most, sessions.size());
  }
  CHECK(most < 20);
  std::mt19937 random(2);
  for (int i = 0; i < 100; i++) {
    const int one = random() % count;
    CHECK_EQUAL(comments(sessions, 1 + one, (one + 0.5) * second), std::to_string(one) + ";");
  }
}
