#include "linux/bpf/kernel_layout.hh"

namespace proclabel {

std::optional<KernelLayout> KernelLayout::find(const Btf& types) {
  bool is_whole = true;
  const auto at = [&](const char* structure, const char* path) {
    const auto offset = types.offset(structure, path);
    is_whole &= offset.has_value();
    return offset.value_or(0);
  };
  const KernelLayout layout{.socket = {.family = at("sock", "__sk_common.skc_family"),
                                       .protocol = at("sock", "sk_protocol"),
                                       .owned = at("sock", "sk_lock.owned"),
                                       .net = at("sock", "__sk_common.skc_net.net"),
                                       .remote_port = at("sock", "__sk_common.skc_dport"),
                                       .remote_v4 = at("sock", "__sk_common.skc_daddr"),
                                       .local_v4 = at("sock", "__sk_common.skc_rcv_saddr"),
                                       .remote_v6 = at("sock", "__sk_common.skc_v6_daddr"),
                                       .local_v6 = at("sock", "__sk_common.skc_v6_rcv_saddr"),
                                       .local_port = at("inet_sock", "inet_sport")},
                            .task = {.thread = at("task_struct", "pid"),
                                     .process = at("task_struct", "tgid"),
                                     .leader = at("task_struct", "group_leader"),
                                     .start = at("task_struct", "start_boottime"),
                                     .name = at("task_struct", "comm"),
                                     .signal = at("task_struct", "signal")},
                            .flow = {.interface = at("flowi4", "__fl_common.flowic_iif"),
                                     .protocol = at("flowi4", "__fl_common.flowic_proto"),
                                     .v4_to = at("flowi4", "daddr"),
                                     .v4_ports_from = at("flowi4", "uli.ports.sport"),
                                     .v4_ports_to = at("flowi4", "uli.ports.dport"),
                                     .v6_to = at("flowi6", "daddr"),
                                     .v6_ports_from = at("flowi6", "uli.ports.sport"),
                                     .v6_ports_to = at("flowi6", "uli.ports.dport")},
                            .net_inode = at("net", "ns.inum"),
                            .live_threads = at("signal_struct", "live.counter"),
                            .path = at("linux_binprm", "filename")};
  return is_whole ? std::optional(layout) : std::nullopt;
}

}  // namespace proclabel
