#include "linux/kernel_files.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/descriptor.hh"
#include "socket_source.hh"

namespace proclabel {

std::string read_file(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  struct stat status;
  // Most tell no size; types of the kernel are megabytes.
  if (file >= 0 && fstat(file, &status) == 0) text.reserve(status.st_size);
  char part[4096];
  for (ssize_t length = file < 0 ? 0 : 1; length > 0;) {
    length = read(file, part, sizeof part);
    if (length > 0) text.append(part, length);
  }
  return text;
}

void require_numbers_of_host() {
  constexpr ino_t first_pid_namespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO
  struct stat status;
  if (stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == first_pid_namespace) return;
  throw SourceError("kernel events tell process ids of the host: run in its pid namespace (hostPID, --pid host)", "EPERM");
}

}  // namespace proclabel
