#pragma once

#include <linux/netlink.h>

#include <cerrno>
#include <cstdint>

#include "slice.hh"

namespace proclabel {

enum class DumpStatus : uint8_t { more, done, failed };

struct DumpProgress {
  DumpStatus status = DumpStatus::more;
  /** The errno that the kernel answered with when `failed`; EBADMSG for bytes that are no answer. */
  int error = 0;
};

/**
 * Calls `take` with type and payload of every netlink message (netlink(7)) of one received buffer that answers the dump
 * `sequence`, and `pass_over` for every other message. Any bytes are safe.
 */
template <typename Take, typename PassOver>
DumpProgress read_netlink_messages(Slice buffer, uint32_t sequence, Take take, PassOver pass_over) {
  for (size_t offset = 0; offset < buffer.size();) {
    const auto header = buffer.read<nlmsghdr>(offset);
    if (!header || header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > buffer.size() - offset) {
      return {DumpStatus::failed, EBADMSG};
    }
    const Slice payload = buffer.part(offset + NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN);
    offset += NLMSG_ALIGN(size_t{header->nlmsg_len});
    if (header->nlmsg_seq != sequence) {
      pass_over();
    } else if (header->nlmsg_type == NLMSG_DONE) {
      // A dump that failed half-way says so in the number that follows DONE.
      const int error = payload.read<int32_t>(0).value_or(0);
      return error < 0 ? DumpProgress{DumpStatus::failed, -error} : DumpProgress{DumpStatus::done, 0};
    } else if (header->nlmsg_type == NLMSG_ERROR) {
      const int error = payload.read<int32_t>(0).value_or(-EBADMSG);
      return {DumpStatus::failed, error < 0 && error > -4096 ? -error : EBADMSG};
    } else {
      take(header->nlmsg_type, payload);
    }
  }
  return {};
}

/** The attribute of this type among those that `attributes` holds; empty when it is not there. */
inline Slice find_attribute(Slice attributes, uint16_t wanted) {
  for (size_t offset = 0;;) {
    const auto header = attributes.read<nlattr>(offset);
    if (!header || header->nla_len < NLA_HDRLEN) return Slice(nullptr, 0);
    if ((header->nla_type & NLA_TYPE_MASK) == wanted)
      return attributes.part(offset + NLA_HDRLEN, header->nla_len - NLA_HDRLEN);
    offset += NLA_ALIGN(header->nla_len);
  }
}

}  // namespace proclabel
