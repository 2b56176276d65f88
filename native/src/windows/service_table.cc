#include "windows/service_table.hh"

#include <windows.h>

#include <algorithm>
#include <memory>

#include "windows/system_error.hh"

namespace proclabel {
namespace {

struct ServiceHandleCloser {
  void operator()(SC_HANDLE handle) const { CloseServiceHandle(handle); }
};
using ServiceHandle = std::unique_ptr<std::remove_pointer_t<SC_HANDLE>, ServiceHandleCloser>;

/** What EnumServicesStatusEx takes at most. */
constexpr DWORD buffer_bytes = 256 * 1024;

}  // namespace

ServiceTable read_services() {
  ServiceTable services;
  const ServiceHandle manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_ENUMERATE_SERVICE));
  if (manager == nullptr) return services;
  std::vector<uint64_t> buffer(buffer_bytes / sizeof(uint64_t));
  DWORD resume = 0;
  for (bool is_done = false; !is_done;) {
    DWORD left = 0, count = 0;
    is_done = EnumServicesStatusExW(manager.get(), SC_ENUM_PROCESS_INFO, SERVICE_WIN32, SERVICE_ACTIVE,
                                    reinterpret_cast<BYTE*>(buffer.data()), buffer_bytes, &left, &count, &resume, nullptr);
    if (!is_done && GetLastError() != ERROR_MORE_DATA) break;
    const auto* const found = reinterpret_cast<const ENUM_SERVICE_STATUS_PROCESSW*>(buffer.data());
    for (DWORD i = 0; i < count; i++)
      services[found[i].ServiceStatusProcess.dwProcessId].push_back(utf8(found[i].lpServiceName, wcslen(found[i].lpServiceName)));
  }
  for (auto& [pid, names] : services) std::sort(names.begin(), names.end());
  return services;
}

}  // namespace proclabel
