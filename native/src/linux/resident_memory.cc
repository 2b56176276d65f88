#include "resident_memory.hh"

#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>

namespace proclabel {
namespace {

std::string own_program() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, length < 0 ? 0 : length);
}

}  // namespace

void release_startup_memory() {
  malloc_trim(0);
  const std::string program = own_program();
  FILE* mappings = fopen("/proc/self/smaps", "re");
  if (mappings == nullptr) return;
  char line[4608], rights[5];
  uintptr_t begin = 0, end = 0, next_begin, next_end;
  bool is_unwritable = false;
  size_t written_kib;
  while (fgets(line, sizeof line, mappings) != nullptr) {
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &next_begin, &next_end, rights) == 3) {
      begin = next_begin;
      end = next_end;
      const char* path = strchr(line, '/');
      const bool is_code = path != nullptr && strcmp(rights, "r-xp") == 0;
      // Of a library, what is unwritable now may have been written to while it was loaded, perhaps by another thread just now.
      const bool is_constant = path != nullptr && strcmp(rights, "r--p") == 0 && program + '\n' == path;
      is_unwritable = is_code || is_constant;
    } else if (is_unwritable && sscanf(line, "Anonymous: %zu kB", &written_kib) == 1 && written_kib == 0) {
      // As the file has it: what is dropped is the same when it is read again.
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
  }
  fclose(mappings);
}

}  // namespace proclabel
