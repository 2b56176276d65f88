#include "annotate/session_spool.hh"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace proclabel::annotate {

namespace {

static_assert(std::is_trivially_copyable_v<Session>);

constexpr size_t read_bytes = 64 << 10;

/** What stands in the file before a comment. */
struct Record {
  Session session;
  uint32_t process;
  uint32_t comment_bytes;
};

bool starts_before(const Session& a, const Session& b) {
  return a.first_us != b.first_us ? a.first_us < b.first_us : a.order < b.order;
}

}  // namespace

void SessionSpool::add(NotedSession session) {
  session.session.order = size_++;
  held_.push_back(std::move(session));
  if (held_.size() == most_held_) lay_aside();
}

void SessionSpool::sort_held() {
  std::ranges::sort(held_, [](const auto& a, const auto& b) { return starts_before(a.session, b.session); });
}

void SessionSpool::lay_aside() {
  sort_held();
  if (!stream_.is_open()) {
    stream_.exceptions(std::ios::badbit | std::ios::failbit);
    stream_.open(file_, std::ios::in | std::ios::out | std::ios::trunc | std::ios::binary);
  }
  uint64_t bytes = ends_.empty() ? 0 : ends_.back();
  for (const auto& [session, note] : held_) {
    const Record record = {session, note->process, static_cast<uint32_t>(note->comment.size())};
    stream_.write(reinterpret_cast<const char*>(&record), sizeof record);
    stream_.write(note->comment.data(), record.comment_bytes);
    bytes += sizeof record + record.comment_bytes;
  }
  stream_.flush();
  ends_.push_back(bytes);
  held_.clear();
}

void SessionSpool::rewind() {
  is_reading_ = true;
  sort_held();
  held_at_ = 0;
  parts_.clear();
  heap_.clear();
  for (size_t i = 0; i < ends_.size(); i++) {
    Part& part = parts_.emplace_back();
    part.at = i == 0 ? 0 : ends_[i - 1];
    part.end = ends_[i];
  }
  parts_.emplace_back();
  for (size_t i = 0; i < parts_.size(); i++)
    if (advance(i)) heap_.push_back(i);
  std::ranges::make_heap(heap_, [this](size_t a, size_t b) { return is_before(b, a); });
}

const NotedSession* SessionSpool::head() {
  if (!is_reading_) rewind();
  return heap_.empty() ? nullptr : &parts_[heap_.front()].next;
}

void SessionSpool::pop() {
  const auto later = [this](size_t a, size_t b) { return is_before(b, a); };
  std::ranges::pop_heap(heap_, later);
  if (advance(heap_.back()))
    std::ranges::push_heap(heap_, later);
  else
    heap_.pop_back();
}

bool SessionSpool::is_before(size_t a, size_t b) const {
  return starts_before(parts_[a].next.session, parts_[b].next.session);
}

bool SessionSpool::advance(size_t number) {
  Part& part = parts_[number];
  if (number == ends_.size()) {
    if (held_at_ == held_.size()) return false;
    part.next = held_[held_at_++];
    return true;
  }
  Record record;
  if (!take(part, reinterpret_cast<char*>(&record), sizeof record)) return false;
  Note note;
  note.comment.resize(record.comment_bytes);
  note.process = record.process;
  take(part, note.comment.data(), note.comment.size());
  part.next = {record.session, std::make_shared<const Note>(std::move(note))};
  return true;
}

bool SessionSpool::take(Part& part, char* to, size_t bytes) {
  while (bytes > 0) {
    if (part.read_at == part.read.size()) {
      if (part.at == part.end) return false;
      part.read.resize(std::min<uint64_t>(read_bytes, part.end - part.at));
      stream_.seekg(static_cast<std::streamoff>(part.at));
      stream_.read(part.read.data(), static_cast<std::streamsize>(part.read.size()));
      part.at += part.read.size();
      part.read_at = 0;
    }
    const size_t some = std::min(bytes, part.read.size() - part.read_at);
    std::memcpy(to, part.read.data() + part.read_at, some);
    part.read_at += some;
    to += some;
    bytes -= some;
  }
  return true;
}

}  // namespace proclabel::annotate
