#include "annotate/current_sessions.hh"

#include <algorithm>

namespace proclabel::annotate {

const std::vector<CurrentSession*>& CurrentSessions::find(const packet::FlowKey& flow, double time_us) {
  if (time_us > now_us_ || time_us < now_us_ - slack_us_) go_to(time_us);
  found_.clear();
  const auto known = flows_.find(flow);
  if (known == flows_.end()) return found_;
  for (CurrentSession& one : known->second)
    if (one.session.first_us <= time_us && time_us <= one.session.last_us) found_.push_back(&one);
  return found_;
}

void CurrentSessions::go_to(double time_us) {
  if (time_us < now_us_) {
    slack_us_ = std::max(2 * slack_us_, now_us_ - time_us);
    flows_.clear();
    by_end_ = {};
    spool_.rewind();
  }
  now_us_ = time_us;
  for (const NotedSession* next = spool_.head(); next != nullptr && next->session.first_us <= now_us_; next = spool_.head()) {
    if (next->session.last_us >= now_us_ - slack_us_) begin(*next);
    spool_.pop();
  }
  forget_ended();
}

void CurrentSessions::begin(const NotedSession& noted) {
  const Session& session = noted.session;
  auto& sessions = flows_[session.flow];
  const auto known = std::ranges::find_if(sessions, [&](const auto& one) { return one.session.is(session); });
  if (known != sessions.end()) {
    if (known->session.revision > session.revision) return;
    *known = {session, noted.note};
  } else {
    const auto place = std::ranges::find_if(sessions, [&](const auto& one) { return one.session.order > session.order; });
    sessions.insert(place, {session, noted.note});
  }
  by_end_.push({session.last_us, session.flow});
}

void CurrentSessions::forget_ended() {
  const double ended_us = now_us_ - slack_us_;
  for (; !by_end_.empty() && by_end_.top().last_us < ended_us; by_end_.pop()) {
    const auto known = flows_.find(by_end_.top().flow);
    if (known == flows_.end()) continue;
    std::erase_if(known->second, [&](const auto& one) { return one.session.last_us < ended_us; });
    if (known->second.empty()) flows_.erase(known);
  }
}

}  // namespace proclabel::annotate
