#include "annotate/session_line.hh"

#include <vector>

#include "annotate/session_text.hh"
#include "test.hh"

using namespace proclabel::annotate;

TEST("a line of labeled sessions is read: flow, times, id, and the facts of its note") {
  Session session;
  std::string facts;
  const std::string label =
      R"(, "label" : {"pid":7,"process":"a \"b\"","services":["x","y"]},"stage":"A2","confidence":0.99,"host_id":"desk")";
  CHECK(read_session_line(session_text("5e", 3, 1.5e15, 1.6e15, 4000, label), session, facts));
  CHECK_EQUAL(facts, R"(["a \"b\"",7,"A2",0.99,null,"desk"])");
  CHECK_EQUAL(session.id_text(), "5e");
  CHECK_EQUAL(session.revision, 3);
  CHECK_EQUAL(session.first_us, 1.5e15);
  CHECK_EQUAL(session.last_us, 1.6e15);
  CHECK_EQUAL(session.flow.protocol, 6);
  CHECK_EQUAL(session.flow.low_port + session.flow.high_port, 4443);
  CHECK(read_session_line(session_text("5e", 3, 1, 2, 4000, R"(,"label":null,"unknown_cause":"nat")"), session, facts));
  CHECK_EQUAL(facts, R"([null,null,null,null,"nat",null])");
}

TEST("what is no labeled session is none: cut, of another shape, with values that cannot be") {
  Session session;
  std::string facts;
  const std::string whole = session_text("5e", 0, 1, 2);
  for (size_t length = 0; length < whole.size(); length++)
    CHECK(!read_session_line(std::string_view(whole).substr(0, length), session, facts));
  CHECK(!read_session_line(whole + "x", session, facts));
  CHECK(!read_session_line("[" + whole + "]", session, facts));
  CHECK(!read_session_line(session_text("5e", 0, 1, 2, 65'536), session, facts));
  CHECK(!read_session_line(session_text("5e", -1, 1, 2), session, facts));
  CHECK(!read_session_line(session_text("5e", 0, 1, 2, 1, R"(,"label":7)"), session, facts));
  CHECK(!read_session_line(session_text("5e", 0, 1, 2, 1, R"(,"local_ip":"10.0.0.256")"), session, facts));
  CHECK(!read_session_line(session_text("5e", 0, 1, 2, 1, R"(,"proto":"256")"), session, facts));
  CHECK(!read_session_line(session_text(std::string(33, '0'), 0, 1, 2), session, facts));
}

TEST("lines are the same wherever the bytes are parted; empty ones are none") {
  const std::string text = "one\n\ntwo\r\n\nthree";
  for (size_t at = 0; at <= text.size(); at++) {
    std::vector<std::string> lines;
    LineSplitter splitter([&](std::string_view line) { lines.emplace_back(line); });
    splitter.add(std::string_view(text).substr(0, at));
    splitter.add(std::string_view(text).substr(at));
    splitter.end();
    CHECK_EQUAL(lines.size(), 3u);
    CHECK_EQUAL(lines[1], "two\r");
    CHECK_EQUAL(lines[2], "three");
  }
}

TEST("of a line that is too long nothing is held") {
  std::vector<size_t> sizes;
  LineSplitter splitter([&](std::string_view line) { sizes.push_back(line.size()); });
  const std::string piece(1 << 20, 'x');
  for (size_t i = 0; i <= LineSplitter::most_bytes / piece.size(); i++) splitter.add(piece);
  splitter.add("\nshort\n");
  CHECK_EQUAL(sizes.size(), 2u);
  CHECK_EQUAL(sizes[0], 0u);
  CHECK_EQUAL(sizes[1], 5u);
}
