#include "windows/process_user.hh"

#include <windows.h>

#include <sddl.h>

#include <unordered_map>

#include "windows/handle.hh"
#include "windows/system_error.hh"

namespace proclabel {
namespace {

std::string text_of(PSID sid) {
  wchar_t* text = nullptr;
  if (!ConvertSidToStringSidW(sid, &text)) return {};
  const std::string copy = utf8(text, wcslen(text));
  LocalFree(text);
  return copy;
}

std::string name_of(PSID sid) {
  wchar_t name[256], domain[256];
  DWORD name_length = static_cast<DWORD>(std::size(name)), domain_length = static_cast<DWORD>(std::size(domain));
  SID_NAME_USE use;
  if (!LookupAccountSidW(nullptr, sid, name, &name_length, domain, &domain_length, &use)) return {};
  const std::string prefix = domain_length == 0 ? "" : utf8(domain, domain_length) + '\\';
  return prefix + utf8(name, name_length);
}

}  // namespace

std::string user_of(HANDLE process) {
  static thread_local std::unordered_map<std::string, std::string> names;
  HANDLE opened = nullptr;
  if (!OpenProcessToken(process, TOKEN_QUERY, &opened)) return {};
  const Handle token(opened);
  alignas(TOKEN_USER) BYTE bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
  DWORD size = 0;
  if (!GetTokenInformation(opened, TokenUser, bytes, sizeof bytes, &size)) return {};
  const PSID sid = reinterpret_cast<const TOKEN_USER*>(bytes)->User.Sid;
  const std::string identifier = text_of(sid);
  const auto known = names.find(identifier);
  if (known != names.end()) return known->second;
  const std::string name = name_of(sid);
  return names[identifier] = name.empty() ? identifier : name;
}

}  // namespace proclabel
