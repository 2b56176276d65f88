#include "resident_memory.hh"

#include <malloc.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace proclabel {

void release_startup_memory() {
  malloc_trim(0);
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return;
  char line[4608], rights[5];
  uintptr_t begin, end;
  while (fgets(line, sizeof line, maps) != nullptr) {
    // Code of a file, which nobody writes to: what is dropped is the same when it is read again.
    const bool is_read = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &begin, &end, rights) == 3;
    if (is_read && strcmp(rights, "r-xp") == 0 && strchr(line, '/') != nullptr)
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  fclose(maps);
}

}  // namespace proclabel
