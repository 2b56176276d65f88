#include "windows/etw_name.hh"

#include <string_view>

namespace proclabel {
namespace {

constexpr std::wstring_view prefix = L"proclabel-";

/** Digits alone, so many that no number runs over. */
std::optional<int64_t> number(std::wstring_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  int64_t value = 0;
  for (const wchar_t digit : text) {
    if (digit < L'0' || digit > L'9') return std::nullopt;
    value = value * 10 + (digit - L'0');
  }
  return value;
}

}  // namespace

std::wstring etw_session_name(const EtwOwner& owner) {
  return std::wstring(prefix) + std::to_wstring(owner.pid) + L"-" + std::to_wstring(owner.start_us);
}

std::optional<EtwOwner> etw_session_owner(const std::wstring& name) {
  const std::wstring_view text = name;
  if (!text.starts_with(prefix)) return std::nullopt;
  const size_t dash = text.find(L'-', prefix.size());
  if (dash == std::wstring_view::npos) return std::nullopt;
  const auto pid = number(text.substr(prefix.size(), dash - prefix.size()));
  const auto start_us = number(text.substr(dash + 1));
  if (!pid || !start_us || *pid > UINT32_MAX) return std::nullopt;
  return EtwOwner{static_cast<uint32_t>(*pid), *start_us};
}

bool is_orphan(const std::wstring& name, const std::function<std::optional<int64_t>(uint32_t)>& start_of) {
  const auto owner = etw_session_owner(name);
  if (!owner) return false;
  const auto start_us = start_of(owner->pid);
  return start_us && *start_us != owner->start_us;
}

}  // namespace proclabel
