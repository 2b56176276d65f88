#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "annotate/annotator.hh"

using namespace proclabel;
using namespace proclabel::annotate;

/** Labeled sessions up to a byte 0, behind it a frame: everything that is written fits its room. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), size);
  Annotator annotator("", [](std::string_view facts) { return MadeNote{std::string(facts), PacketProcess{std::string(facts.substr(0, 8)), 1}}; });
  annotator.read(input.substr(0, end / 2));
  annotator.read(input.substr(end / 2, end - end / 2));
  annotator.end_file();
  std::vector<uint8_t> room(PcapngWriter::least_room);
  annotator.write_to({true, true, size % 2 == 0, size % 3 == 0, [&](const std::string*) { return std::span(room); },
                      [&](size_t, size_t bytes) {
                        if (bytes > room.size()) std::abort();
                      }});
  const auto bytes = static_cast<int32_t>(size - end);
  const int32_t offset = static_cast<int32_t>(end);
  const double times[] = {1, 1e15, 5};
  for (const double time_us : times) {
    const uint16_t link_type = 1;
    annotator.annotate({Slice(data, size), {&offset, 1}, {&bytes, 1}, {&bytes, 1}, {&time_us, 1}, {&link_type, 1}});
  }
  annotator.finish();
  return 0;
}
