#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace proclabel {

/** Names of the services that run, sorted, by the pid that hosts them: svchost.exe says nothing by itself. */
using ServiceTable = std::unordered_map<uint32_t, std::vector<std::string>>;

/** Empty where the service control manager does not answer. */
ServiceTable read_services();

}  // namespace proclabel
