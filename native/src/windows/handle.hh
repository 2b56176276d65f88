#pragma once

#include <windows.h>

#include <memory>

namespace proclabel {

struct HandleCloser {
  void operator()(HANDLE handle) const { CloseHandle(handle); }
};
/** Null for none. */
using Handle = std::unique_ptr<void, HandleCloser>;

}  // namespace proclabel
