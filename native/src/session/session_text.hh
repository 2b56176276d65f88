#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "session/session.hh"

namespace proclabel::session {

/** What is said of every session that no host's agent knows: the fields from `label` to `evidence`, as JSON without braces. */
struct Judged {
  std::string tcp_or_udp;
  std::string other;
};

/** Who opened a session, and with whom: what a name is looked up by. */
struct Ends {
  const Address& client;
  const Address& server;
};
Ends ends_of(const Session& session);

/**
 * Writes the record of a session of no monitored host as one JSON line: byte for byte what Session.toRecord in
 * services/core/session.ts and JSON.stringify make. `dns_name` is JSON, `null` or a string. Answers with the bytes written;
 * none where they do not fit.
 */
std::optional<size_t> write_line(std::span<char> to, const Session& session, const Judged& judged,
                                 std::string_view dns_name);

/** RFC 5952, and dotted quad for v4-mapped addresses. */
std::string address_text(const Address& address);

}  // namespace proclabel::session
