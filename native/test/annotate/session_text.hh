#pragma once

#include <string>

/** A labeled session as `proclabel label` writes it, as far as it must be there; `rest` stands behind, with its comma. */
inline std::string session_text(const std::string& id, int revision, double first_us, double last_us, int port = 4000,
                                const std::string& rest = "") {
  return R"({"session_id":")" + id + R"(","revision":)" + std::to_string(revision) +
         R"(,"state":"closed","proto":"tcp","local_ip":"10.0.0.1","local_port":)" + std::to_string(port) +
         R"(,"remote_ip":"2001:db8::1","remote_port":443,"direction":"out","first_us":)" +
         std::to_string(static_cast<long long>(first_us)) + R"(,"last_us":)" +
         std::to_string(static_cast<long long>(last_us)) +
         R"(,"packets_out":1,"packets_in":1,"bytes_out":60,"bytes_in":60,"tcp_flags":2,"evidence":{"reason":"a ] } \" b","candidates":[]},"splt":[{"len":60,"gap_us":0}])" +
         rest + "}";
}
