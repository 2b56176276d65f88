#include "linux/process_identity.hh"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "test.hh"

using namespace proclabel;
namespace fs = std::filesystem;

TEST("who started a process is told by the program's file, or by its command where it has none, as kernel threads") {
  const fs::path proc = "/proc";
  int own = 0;
  for (const auto& item : fs::directory_iterator(proc)) {
    const std::string pid = item.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto process = read_process(std::stoi(pid));
    if (process == nullptr || process->parent_pid == 0) continue;
    if (process->pid == getpid()) own++;
    const fs::path parent = proc / std::to_string(process->parent_pid);
    std::error_code error;
    if (fs::exists(parent / "exe", error)) continue;
    std::string command;
    if (std::getline(std::ifstream(parent / "comm"), command)) CHECK_EQUAL(process->parent_name, command);
  }
  CHECK_EQUAL(own, 1);
}
