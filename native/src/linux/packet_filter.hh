#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

namespace proclabel {

/**
 * A filter in the language of pcap-filter(7) as the kernel takes it, compiled by libpcap for this interface: it knows that the
 * kernel keeps VLAN tags apart from the frame. `link_type` is what the frames are, a LINKTYPE_ value. Throws SourceError.
 */
std::vector<sock_filter> compile_filter(const std::string& device, const std::string& expression, int link_type);

}  // namespace proclabel
