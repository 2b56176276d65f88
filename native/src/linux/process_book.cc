#include "linux/process_book.hh"

#include <dirent.h>

#include <cstdlib>

#include "linux/proc_text.hh"
#include "linux/process_identity.hh"

namespace proclabel {
namespace {

/** A fork is told a little after the start time that the kernel gives the child, which it counts in hundredths of a second. */
constexpr int64_t start_slack_us = 20'000;

bool is_start(int64_t read_us, int64_t told_us, bool is_exact) {
  return is_exact ? read_us == told_us : std::llabs(read_us - told_us) <= start_slack_us;
}

/** A path through the descriptors or the folder of the process that runs it: fexecve(3) makes such. */
bool is_seen_by_itself(const std::string& path) {
  return path.starts_with("/dev/fd/") || path.starts_with("/proc/self/") || path.starts_with("/proc/thread-self/");
}

}  // namespace

void ProcessBook::read_all() {
  DIR* folder = opendir("/proc");
  if (folder == nullptr) return;
  while (const dirent* item = readdir(folder)) {
    const int pid = atoi(item->d_name);
    if (pid > 0) read(pid, 0);
  }
  closedir(folder);
}

void ProcessBook::fork(int32_t parent, int32_t child, int64_t start_us, bool is_exact) {
  const auto known = entries_.find(child);
  // Read in /proc before its fork was told here.
  if (known != entries_.end() && !known->second.has_ended && is_start(known->second.known.start_us, start_us, is_exact)) return;
  if (entries_.find(parent) == entries_.end()) read(parent, 0);
  Entry& entry = renew(child);
  const auto from = entries_.find(parent);
  if (from != entries_.end()) {
    entry.known = from->second.known;
    entry.program = from->second.program;
    entry.namespace_inode = from->second.namespace_inode;
    entry.generation = from->second.generation;
  } else {
    entry.generation = generation_ - 1;
  }
  entry.known.pid = child;
  entry.known.parent_pid = parent;
  if (from != entries_.end())
    entry.known.parent_name = from->second.program.empty() ? from->second.known.name : base_name(from->second.program);
  entry.known.start_us = start_us;
  entry.is_start_exact = is_exact;
}

void ProcessBook::exec(int32_t pid, std::string path) {
  auto found = entries_.find(pid);
  if (found == entries_.end()) {
    if (read(pid, 0) == nullptr) return;
    found = entries_.find(pid);
  }
  // So browsers start processes of their own program; read from here, the link is ours.
  if (path == "/proc/self/exe") return;
  Entry& entry = found->second;
  entry.program = std::move(path);
  entry.process = nullptr;
}

void ProcessBook::move(int32_t pid) {
  const auto found = entries_.find(pid);
  if (found != entries_.end()) found->second.namespace_inode = 0;
}

void ProcessBook::exit(int32_t pid) {
  const auto found = entries_.find(pid);
  if (found == entries_.end() || found->second.has_ended) return;
  found->second.has_ended = true;
  ended_.emplace_back(pid, found->second.number);
  while (ended_.size() > max_ended) {
    const auto oldest = entries_.find(ended_.front().first);
    if (oldest != entries_.end() && oldest->second.number == ended_.front().second) entries_.erase(oldest);
    ended_.pop_front();
  }
}

void ProcessBook::forget_ended() {
  std::erase_if(entries_, [](const auto& item) { return item.second.has_ended; });
  ended_ = {};
  programs_ = {};
}

std::shared_ptr<const Process> ProcessBook::find(int32_t pid, int64_t start_us, const std::string& name) {
  Entry* entry = look_up(pid, start_us, name);
  if (entry == nullptr) return nullptr;
  settle(*entry);
  return entry->process;
}

uint64_t ProcessBook::namespace_of(int32_t pid) {
  Entry* entry = look_up(pid, 0, {});
  if (entry == nullptr) return 0;
  if (entry->namespace_inode == 0 && !entry->has_ended) entry->namespace_inode = network_namespace(pid);
  return entry->namespace_inode;
}

ProcessBook::Entry* ProcessBook::look_up(int32_t pid, int64_t start_us, const std::string& name) {
  if (pid <= 0) return nullptr;
  const auto found = entries_.find(pid);
  if (found != entries_.end()) {
    Entry& entry = found->second;
    const bool is_other = start_us != 0 && !is_start(entry.known.start_us, start_us, entry.is_start_exact);
    if (!is_other && entry.generation == generation_) return &entry;
  }
  if (Entry* entry = read(pid, start_us)) return entry;
  if (name.empty() || start_us == 0) return nullptr;
  Entry& entry = renew(pid);
  entry.known.pid = pid;
  entry.known.start_us = start_us;
  entry.known.name = name;
  entry.is_start_exact = true;
  entry.generation = generation_;
  return &entry;
}

ProcessBook::Entry* ProcessBook::read(int32_t pid, int64_t start_us) {
  const auto process = read_process(pid);
  if (process == nullptr || (start_us != 0 && process->start_us != start_us)) return nullptr;
  Entry& entry = renew(pid);
  entry.known = *process;
  entry.process = process;
  entry.namespace_inode = network_namespace(pid);
  entry.generation = generation_;
  entry.is_start_exact = true;
  return &entry;
}

void ProcessBook::settle(Entry& entry) {
  if (entry.process != nullptr) return;
  Process process = entry.known;
  const auto now = entry.has_ended && entry.is_start_exact ? nullptr : read_process(process.pid);
  const bool is_there = now != nullptr && is_start(now->start_us, process.start_us, entry.is_start_exact);
  if (is_there) {
    process.start_us = now->start_us;
    process.parent_pid = now->parent_pid;
    // Once its parent has ended, it is another's.
    if (process.parent_name.empty()) process.parent_name = now->parent_name;
    process.container_id = now->container_id;
    process.pod = now->pod;
    process.user = now->user;
    process.services = now->services;
    entry.is_start_exact = true;
  }
  if (!entry.program.empty()) {
    const bool leads_here = process.container_id.empty() && !is_seen_by_itself(entry.program);
    // What it runs by now may be another program than at the event; in a container the path leads elsewhere from here.
    const std::string here = leads_here ? resolved(entry.program) : std::string();
    process.path = !here.empty() ? here : is_there && !now->path.empty() ? now->path : entry.program;
    process.name = base_name(process.path);
    if (!process.path.starts_with('/')) process.path.clear();
    entry.program.clear();
  }
  entry.known = process;
  entry.process = std::make_shared<const Process>(std::move(process));
}

const std::string& ProcessBook::resolved(const std::string& path) {
  if (programs_.size() >= max_programs) programs_.clear();
  const auto [place, is_new] = programs_.try_emplace(path);
  if (is_new) place->second = executable_of(path);
  return place->second;
}

ProcessBook::Entry& ProcessBook::renew(int32_t pid) {
  Entry& entry = entries_[pid];
  entry = Entry();
  entry.number = ++numbers_;
  return entry;
}

}  // namespace proclabel
