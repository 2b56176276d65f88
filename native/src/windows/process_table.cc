#include "windows/process_table.hh"

#include <windows.h>

#include <tlhelp32.h>

#include "windows/clock.hh"
#include "windows/process_user.hh"
#include "windows/system_error.hh"

namespace proclabel {
namespace {

/** Empty for the kernel's own, which have none. */
std::string path_of(HANDLE process) {
  wchar_t path[32768];
  DWORD length = static_cast<DWORD>(std::size(path));
  return QueryFullProcessImageNameW(process, 0, path, &length) ? utf8(path, length) : std::string();
}

int64_t start_of(HANDLE process) {
  FILETIME start, exit, kernel, user;
  return GetProcessTimes(process, &start, &exit, &kernel, &user) ? file_time_us(file_time(start)) : 0;
}

}  // namespace

bool enable_debug_privilege() {
  HANDLE opened = nullptr;
  if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &opened)) return false;
  const Handle token(opened);
  TOKEN_PRIVILEGES privileges{.PrivilegeCount = 1, .Privileges = {{.Luid = {}, .Attributes = SE_PRIVILEGE_ENABLED}}};
  if (!LookupPrivilegeValueW(nullptr, SE_DEBUG_NAME, &privileges.Privileges[0].Luid)) return false;
  // It answers with success also where it did nothing; the last error tells.
  return AdjustTokenPrivileges(token.get(), FALSE, &privileges, 0, nullptr, nullptr) && GetLastError() == ERROR_SUCCESS;
}

std::shared_ptr<const Process> ProcessTable::find(uint32_t pid) {
  Entry& entry = entries_[pid];
  entry.used_in_poll = number_;
  const bool is_due = entry.read_in_poll == 0 || number_ - entry.read_in_poll >= read_again_after;
  if (entry.handle == nullptr && is_due) read(pid, entry);
  return entry.process;
}

void ProcessTable::end_poll() {
  number_++;
  list_.clear();
  if (number_ % refresh_every != 0) return;
  std::erase_if(entries_, [this](const auto& item) { return number_ - item.second.used_in_poll > refresh_every; });
  refresh_services();
}

void ProcessTable::read(uint32_t pid, Entry& entry) {
  entry.read_in_poll = number_;
  entry.handle.reset(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid));
  const Listed* const seen = listed(pid);
  if (entry.handle == nullptr && seen == nullptr) return entry.process.reset();
  if (services_of_poll_ != number_) refresh_services();
  Process process;
  process.pid = static_cast<int32_t>(pid);
  if (entry.handle != nullptr) {
    process.start_us = start_of(entry.handle.get());
    process.path = path_of(entry.handle.get());
    process.user = user_of(entry.handle.get());
    process.name = process.path.substr(process.path.find_last_of('\\') + 1);
  }
  if (seen != nullptr) {
    process.parent_pid = static_cast<int32_t>(seen->parent_pid);
    if (process.name.empty()) process.name = seen->name;
    process.parent_name = parent_name(*seen, process.start_us);
  }
  const auto services = services_.find(pid);
  if (services != services_.end()) process.services = services->second;
  if (entry.process == nullptr || *entry.process != process) entry.process = std::make_shared<Process>(std::move(process));
}

/** A process may begin and end to host a service while it runs. */
void ProcessTable::refresh_services() {
  services_ = read_services();
  services_of_poll_ = number_;
  for (auto& [pid, entry] : entries_) {
    if (entry.process == nullptr) continue;
    const auto found = services_.find(pid);
    const auto& services = found == services_.end() ? std::vector<std::string>() : found->second;
    if (services == entry.process->services) continue;
    Process changed = *entry.process;
    changed.services = services;
    entry.process = std::make_shared<Process>(std::move(changed));
  }
}

/** Empty where another has the parent's pid by now: it began after this process. */
std::string ProcessTable::parent_name(const Listed& child, int64_t start_us) const {
  const auto parent = list_.find(child.parent_pid);
  if (parent == list_.end()) return {};
  const Handle handle(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, child.parent_pid));
  const bool is_later = handle != nullptr && start_us != 0 && start_of(handle.get()) > start_us;
  return is_later ? std::string() : parent->second.name;
}

/** From one list a poll, or a newer one where the process is not in it. */
const ProcessTable::Listed* ProcessTable::listed(uint32_t pid) {
  const auto found = list_.find(pid);
  if (found != list_.end()) return &found->second;
  list_.clear();
  const HANDLE opened = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
  if (opened == INVALID_HANDLE_VALUE) return nullptr;
  const Handle snapshot(opened);
  PROCESSENTRY32W process;
  process.dwSize = sizeof process;
  for (BOOL more = Process32FirstW(opened, &process); more; more = Process32NextW(opened, &process))
    list_[process.th32ProcessID] = {utf8(process.szExeFile, wcslen(process.szExeFile)), process.th32ParentProcessID};
  const auto now = list_.find(pid);
  return now == list_.end() ? nullptr : &now->second;
}

}  // namespace proclabel
