#pragma once

#include <string>

namespace proclabel {

/** The whole of a file of the kernel's; empty when it cannot be read, and `errno` says why. */
std::string read_file(const std::string& path);

/**
 * Kernel events tell process ids of the host; in another pid namespace the kernel gives this process other numbers. Throws
 * SourceError there.
 */
void require_numbers_of_host();

}  // namespace proclabel
