#pragma once

namespace proclabel {

/**
 * Gives back the pages of code, and of the program's constants, that were read at start and are not in use now; those still needed come back from the page cache
 * one by one. Nothing where the system has no such thing.
 */
void release_startup_memory();

}  // namespace proclabel
