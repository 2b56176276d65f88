#pragma once

#include <functional>

namespace proclabel {

/**
 * Tells the service control manager of Windows, which started this process as a service, that it runs. `on_stop` is called, by
 * another thread, when it is to end. Throws SourceError where no such manager started it. Once a process.
 */
void start_service(std::function<void()> on_stop);

/** Tells that the service has ended as it should, and the process is about to. One that ends without that has failed. */
void end_service();

}  // namespace proclabel
