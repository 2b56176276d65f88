#pragma once

#include <windows.h>

#include <string>

#include "socket_source.hh"

namespace proclabel {

/** UTF-8 of the system's UTF-16. */
inline std::string utf8(const wchar_t* text, size_t length) {
  const int units = static_cast<int>(length);
  std::string bytes(WideCharToMultiByte(CP_UTF8, 0, text, units, nullptr, 0, nullptr, nullptr), '\0');
  WideCharToMultiByte(CP_UTF8, 0, text, units, bytes.data(), static_cast<int>(bytes.size()), nullptr, nullptr);
  return bytes;
}

/** `doing what`, and the system's word on why not. The code is the number of the error in winerror.h. */
inline SourceError system_error(const std::string& what, DWORD error) {
  wchar_t text[512];
  const DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
  DWORD length = FormatMessageW(flags, nullptr, error, 0, text, static_cast<DWORD>(std::size(text)), nullptr);
  while (length > 0 && (text[length - 1] <= L' ' || text[length - 1] == L'.')) length--;
  const std::string number = "Windows error " + std::to_string(error);
  return SourceError(what + ": " + (length == 0 ? number : utf8(text, length) + " (" + number + ")"), "WIN" + std::to_string(error));
}

}  // namespace proclabel
