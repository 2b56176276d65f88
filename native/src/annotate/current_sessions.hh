#pragma once

#include <cstdint>
#include <limits>
#include <queue>
#include <unordered_map>
#include <vector>

#include "annotate/session_spool.hh"

namespace proclabel::annotate {

/** A session that packets may be of now. */
struct CurrentSession {
  Session session;
  SharedNote note;
  /** The caller needs none of its packets any more. */
  bool is_done = false;
};

/**
 * The sessions of packets, which come in order of time: only those sessions are held that go on, or ended less than the slack ago.
 * Where time goes back further, all begins anew with twice the slack, so that it happens seldom whatever the order.
 */
class CurrentSessions {
 public:
  static constexpr double first_slack_us = 10e6;

  explicit CurrentSessions(SessionSpool& spool) : spool_(spool) {}

  /**
   * The sessions of a packet, in the order in which they were read; none, one, or two where both ends are monitored hosts. A later
   * revision has taken the place of an earlier one. Valid until the next call.
   */
  const std::vector<CurrentSession*>& find(const packet::FlowKey& flow, double time_us);

  /** Sessions held now. */
  size_t size() const { return by_end_.size(); }

 private:
  struct Hash {
    size_t operator()(const packet::FlowKey& flow) const { return flow.hash; }
  };
  struct Same {
    bool operator()(const packet::FlowKey& a, const packet::FlowKey& b) const {
      return a.low_port == b.low_port && a.high_port == b.high_port && a.protocol == b.protocol && a.low == b.low &&
             a.high == b.high;
    }
  };
  struct End {
    double last_us;
    packet::FlowKey flow;
    bool operator>(const End& other) const { return last_us > other.last_us; }
  };

  void go_to(double time_us);
  void begin(const NotedSession& noted);
  void forget_ended();

  SessionSpool& spool_;
  double now_us_ = -std::numeric_limits<double>::infinity();
  double slack_us_ = first_slack_us;
  std::unordered_map<packet::FlowKey, std::vector<CurrentSession>, Hash, Same> flows_;
  std::priority_queue<End, std::vector<End>, std::greater<>> by_end_;
  std::vector<CurrentSession*> found_;
};

}  // namespace proclabel::annotate
