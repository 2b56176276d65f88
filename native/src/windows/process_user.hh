#pragma once

#include <windows.h>

#include <string>

namespace proclabel {

/**
 * Who a process runs as, `DOMAIN\name`; the security identifier (S-1-5-…) where Windows knows no name for it, empty where it
 * does not tell. Windows is asked for each name once: that of a domain's account may have to come from a domain controller.
 */
std::string user_of(HANDLE process);

}  // namespace proclabel
