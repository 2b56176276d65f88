/**
 * Services for svchost.exe, of any name: each speaks TCP and UDP to an address that no interface has, as client.mjs does, until it
 * is stopped. Its listener and the two sockets that it speaks from are told in a JSON file beside the DLL, under the service's name.
 */
#include <winsock2.h>

#include <ws2tcpip.h>

#include <fstream>
#include <string>

namespace {

constexpr const char* other_end = "127.0.0.2";
constexpr DWORD speak_every_ms = 200;

sockaddr_in bind_to(SOCKET socket, const char* address) {
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = inet_addr(address);
  int size = sizeof bound;
  bind(socket, reinterpret_cast<sockaddr*>(&bound), size);
  getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size);
  return bound;
}

DWORD WINAPI on_control(DWORD control, DWORD, void*, void* stop) {
  if (control == SERVICE_CONTROL_STOP) SetEvent(stop);
  return NO_ERROR;
}

void tell(SERVICE_STATUS_HANDLE service, DWORD state) {
  SERVICE_STATUS status{};
  status.dwServiceType = SERVICE_WIN32_SHARE_PROCESS;
  status.dwCurrentState = state;
  status.dwControlsAccepted = SERVICE_ACCEPT_STOP;
  SetServiceStatus(service, &status);
}

std::wstring folder_of_this() {
  HMODULE module = nullptr;
  wchar_t path[MAX_PATH];
  constexpr DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  GetModuleHandleExW(flags, reinterpret_cast<LPCWSTR>(&folder_of_this), &module);
  const std::wstring file(path, GetModuleFileNameW(module, path, MAX_PATH));
  return file.substr(0, file.find_last_of(L'\\') + 1);
}

}  // namespace

extern "C" __declspec(dllexport) void WINAPI ServiceMain(DWORD, wchar_t** arguments) {
  const std::wstring name = arguments[0];
  const HANDLE stop = CreateEventW(nullptr, TRUE, FALSE, nullptr);
  const SERVICE_STATUS_HANDLE service = RegisterServiceCtrlHandlerExW(name.c_str(), on_control, stop);
  WSADATA data;
  WSAStartup(MAKEWORD(2, 2), &data);
  const SOCKET listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  const SOCKET sender = socket(AF_INET, SOCK_DGRAM, 0), receiver = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in heard_at = bind_to(listener, other_end), received_at = bind_to(receiver, other_end);
  const sockaddr_in client_at = bind_to(client, "127.0.0.1"), sender_at = bind_to(sender, "127.0.0.1");
  listen(listener, 1);
  connect(client, reinterpret_cast<sockaddr*>(&heard_at), sizeof heard_at);
  accept(listener, nullptr, nullptr);
  std::ofstream((folder_of_this() + name + L".json").c_str())
      << "{\"pid\":" << GetCurrentProcessId() << ",\"listener\":" << ntohs(heard_at.sin_port) << ",\"tcp\":" << ntohs(client_at.sin_port)
      << ",\"udp\":" << ntohs(sender_at.sin_port) << "}\n";
  tell(service, SERVICE_RUNNING);
  do {
    send(client, "a question", 10, 0);
    sendto(sender, "a question", 10, 0, reinterpret_cast<sockaddr*>(&received_at), sizeof received_at);
  } while (WaitForSingleObject(stop, speak_every_ms) == WAIT_TIMEOUT);
  for (const SOCKET one : {listener, client, sender, receiver}) closesocket(one);
  tell(service, SERVICE_STOPPED);
}
