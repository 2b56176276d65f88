#include "service_manager.hh"

#include "socket_source.hh"

namespace proclabel {

void start_service(std::function<void()>) { throw SourceError("services of Windows need Windows", "ENOTSUP"); }

void end_service() {}

}  // namespace proclabel
