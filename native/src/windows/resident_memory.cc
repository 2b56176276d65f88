#include "resident_memory.hh"

namespace proclabel {

void release_startup_memory() {}

}  // namespace proclabel
