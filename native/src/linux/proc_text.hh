#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/** Readers of the text that /proc gives. Any text is safe; what does not fit gives nothing. */
namespace proclabel {

/** What /proc/PID/stat tells. */
struct ProcessStat {
  /** The name between the parentheses: at most 15 bytes, of the process's own choice. */
  std::string_view command;
  int32_t parent_pid = 0;
  /** Since boot, in clock ticks. */
  uint64_t start_ticks = 0;
};

std::optional<ProcessStat> parse_stat(std::string_view text);

/** The inode in `socket:[123]`; 0 for the link of anything else. */
uint32_t parse_socket_link(std::string_view link);

/** The 64 hex digits by which docker, containerd, CRI-O and podman name a container's cgroup; empty without one. */
std::string_view container_id(std::string_view cgroup_text);

/**
 * The uid of the Kubernetes pod that a cgroup belongs to, as the kubelet writes it elsewhere: a UUID, or 32 hex digits of a static
 * pod; empty outside of pods. In the names of systemd's slices underscores stand for its dashes.
 */
std::string pod_uid(std::string_view cgroup_text);

/** `NAMESPACE/NAME` of a folder in /var/log/pods, if it is that of the pod with this uid; else empty. */
std::string pod_name_of(std::string_view folder, std::string_view uid);

/** Whom a process may act as: the second number of `Uid:` in /proc/PID/status. */
std::optional<uint32_t> effective_user(std::string_view status_text);

/** The service unit that systemd started the process in, such as `ssh.service`; empty without one. */
std::string_view systemd_unit(std::string_view cgroup_text);

/** The path of an executable without the mark that Linux puts behind a deleted one. */
std::string_view executable_path(std::string_view link);

/** The part behind the last slash. */
std::string_view base_name(std::string_view path);

}  // namespace proclabel
