#include "linux/process_identity.hh"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "linux/clock.hh"
#include "linux/proc_text.hh"

namespace proclabel {
namespace {

std::string read_link(int folder, const char* name) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(folder, name, target, sizeof target);
  return std::string(target, length < 0 ? 0 : length);
}

/** The beginning of a small file; empty when it cannot be read. */
std::string read_text(int folder, const char* name) {
  const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[8192];
  const ssize_t length = read(fd, text, sizeof text);
  close(fd);
  return std::string(text, length < 0 ? 0 : length);
}

int64_t us_per_tick() {
  static const int64_t us = 1'000'000 / sysconf(_SC_CLK_TCK);
  return us;
}

/**
 * The name that /etc/passwd has for a user, else the number: asking a directory service could take seconds. In a container
 * numbers have other names.
 */
std::string user_name(uint32_t user, const std::string& container) {
  static thread_local std::unordered_map<uint32_t, std::string> names;
  constexpr size_t max_names = 4096;
  if (!container.empty()) return std::to_string(user);
  const auto known = names.find(user);
  if (known != names.end()) return known->second;
  if (names.size() >= max_names) names.clear();
  std::string name = std::to_string(user);
  if (FILE* file = fopen("/etc/passwd", "re")) {
    while (const passwd* entry = fgetpwent(file)) {
      if (entry->pw_uid != user) continue;
      name = entry->pw_name;
      break;
    }
    fclose(file);
  }
  return names[user] = name;
}

/**
 * The name of the pod with this uid, from the folders that the kubelet makes for the logs of each pod before it starts its
 * containers: no server need be asked. Empty when not known.
 */
std::string pod_name(const std::string& uid) {
  static thread_local std::unordered_map<std::string, std::string> names;
  static thread_local int64_t looked_us = INT64_MIN;
  constexpr size_t max_names = 4096;
  constexpr int64_t look_again_us = 1'000'000;
  const auto known = names.find(uid);
  if (known != names.end()) return known->second;
  const int64_t now_us = clock_us(CLOCK_MONOTONIC);
  if (now_us < looked_us + look_again_us) return {};
  looked_us = now_us;
  DIR* folder = opendir("/var/log/pods");
  if (folder == nullptr) return {};
  std::string found;
  while (const dirent* item = found.empty() ? readdir(folder) : nullptr) found = pod_name_of(item->d_name, uid);
  closedir(folder);
  if (found.empty()) return {};
  if (names.size() >= max_names) names.clear();
  return names[uid] = found;
}

/** What the process with this pid runs by now; empty when there is none. */
std::string program_name(int pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d", pid);
  const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return {};
  std::string name = std::string(base_name(executable_path(read_link(folder, "exe"))));
  if (name.empty()) {
    const std::string stat_text = read_text(folder, "stat");
    if (const auto stat = parse_stat(stat_text)) name = stat->command;
  }
  close(folder);
  return name;
}

}  // namespace

int64_t start_us_of_ticks(uint64_t ticks) { return boot_us() + static_cast<int64_t>(ticks) * us_per_tick(); }

int64_t start_us_of_ns(int64_t since_boot_ns) { return start_us_of_ticks(since_boot_ns / (us_per_tick() * 1000)); }

int64_t start_us_of_monotonic_ns(int64_t time_ns) {
  // The one clock goes on while the machine sleeps.
  return start_us_of_ns(time_ns + (clock_us(CLOCK_BOOTTIME) - clock_us(CLOCK_MONOTONIC)) * 1000);
}

std::shared_ptr<Process> read_process(int pid, int folder) {
  const std::string stat_text = read_text(folder, "stat");
  const auto stat = parse_stat(stat_text);
  if (!stat) return nullptr;  // It ended meanwhile.
  auto process = std::make_shared<Process>();
  process->pid = pid;
  process->parent_pid = stat->parent_pid;
  if (stat->parent_pid != 0) process->parent_name = program_name(stat->parent_pid);
  process->start_us = start_us_of_ticks(stat->start_ticks);
  process->path = executable_path(read_link(folder, "exe"));
  process->name = process->path.empty() ? stat->command : base_name(process->path);
  const std::string cgroup = read_text(folder, "cgroup");
  process->container_id = container_id(cgroup);
  if (const std::string uid = pod_uid(cgroup); !uid.empty()) process->pod = pod_name(uid);
  if (const auto user = effective_user(read_text(folder, "status"))) process->user = user_name(*user, process->container_id);
  if (const auto unit = systemd_unit(cgroup); !unit.empty()) process->services.emplace_back(unit);
  return process;
}

std::optional<RunningProgram> running_program(int folder) {
  struct stat file, self;
  if (fstatat(folder, "exe", &file, 0) < 0 || fstat(folder, &self) < 0) return std::nullopt;
  return RunningProgram{file.st_dev, file.st_ino, self.st_uid};
}

std::shared_ptr<Process> read_process(int pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d", pid);
  const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return nullptr;
  auto process = read_process(pid, folder);
  close(folder);
  return process;
}

uint64_t network_namespace(int pid) {
  char path[48];
  if (pid == 0) snprintf(path, sizeof path, "/proc/self/ns/net");
  else snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
  struct stat status;
  return stat(path, &status) == 0 ? status.st_ino : 0;
}

std::string executable_of(const std::string& path) {
  std::string file = path;
  // The kernel follows as many interpreters (fs/exec.c).
  for (int depth = 0; depth < 5 && !file.empty() && file[0] == '/'; depth++) {
    char target[PATH_MAX];
    if (realpath(file.c_str(), target) == nullptr) return {};
    const std::string head = read_text(AT_FDCWD, target).substr(0, 256);
    if (!head.starts_with("#!")) return target;
    const size_t begin = head.find_first_not_of(" \t", 2);
    const size_t end = head.find_first_of(" \t\n", begin);
    if (begin == std::string::npos || end == std::string::npos) return target;
    file = head.substr(begin, end - begin);
  }
  return {};
}

}  // namespace proclabel
