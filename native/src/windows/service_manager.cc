#include "service_manager.hh"

#include <windows.h>

#include <future>
#include <thread>
#include <utility>

#include "windows/system_error.hh"

namespace proclabel {
namespace {

/** An agent ends within 25 s (services/shared/lifecycle.ts). */
constexpr DWORD stop_within_ms = 30'000;

/** Windows calls the functions of a service without any context, and a process of ours is one service. */
std::function<void()> stop;
std::promise<DWORD> started;
SERVICE_STATUS_HANDLE service = nullptr;

void tell(DWORD state, DWORD accepted, DWORD wait_ms) {
  SERVICE_STATUS status{};
  status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
  status.dwCurrentState = state;
  status.dwControlsAccepted = accepted;
  status.dwWaitHint = wait_ms;
  SetServiceStatus(service, &status);
}

DWORD WINAPI on_control(DWORD control, DWORD, void*, void*) {
  if (control == SERVICE_CONTROL_INTERROGATE) return NO_ERROR;
  if (control != SERVICE_CONTROL_STOP && control != SERVICE_CONTROL_SHUTDOWN) return ERROR_CALL_NOT_IMPLEMENTED;
  tell(SERVICE_STOP_PENDING, 0, stop_within_ms);
  stop();
  return NO_ERROR;
}

/** It may return while the service runs. */
void WINAPI service_main(DWORD, wchar_t** arguments) {
  service = RegisterServiceCtrlHandlerExW(arguments[0], on_control, nullptr);
  if (service == nullptr) return started.set_value(GetLastError());
  tell(SERVICE_RUNNING, SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN, 0);
  started.set_value(NO_ERROR);
}

}  // namespace

void start_service(std::function<void()> on_stop) {
  stop = std::move(on_stop);
  std::thread([] {
    // The only service of its process needs no name here.
    wchar_t name[] = L"";
    const SERVICE_TABLE_ENTRYW services[] = {{name, service_main}, {nullptr, nullptr}};
    if (!StartServiceCtrlDispatcherW(services)) started.set_value(GetLastError());
  }).detach();
  const DWORD error = started.get_future().get();
  if (error != NO_ERROR) throw system_error("no service control manager", error);
}

void end_service() { tell(SERVICE_STOPPED, 0, 0); }

}  // namespace proclabel
