/**
 * Runs a fuzz target where there is no libFuzzer: mutates the seeds of a folder for some seconds.
 * `PROGRAM -max_total_time=SECONDS -seed=NUMBER FOLDER`, as libFuzzer takes them. The input at hand is written to
 * `crash-input` in the working folder before each run when the variable KEEP_INPUT is set.
 */
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

Bytes mutated(Bytes bytes, const std::vector<Bytes>& seeds, std::mt19937& random) {
  constexpr uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff};
  for (uint32_t change = random() % 6; change > 0 && !bytes.empty(); change--) {
    const size_t at = random() % bytes.size();
    const size_t length = random() % std::min<size_t>(64, bytes.size() - at + 1);
    const auto from = bytes.begin() + static_cast<ptrdiff_t>(at);
    const auto to = from + static_cast<ptrdiff_t>(length);
    switch (random() % 6) {
      case 0: bytes[at] ^= 1 << random() % 8; break;
      case 1: bytes[at] = interesting[random() % std::size(interesting)]; break;
      case 2: bytes[at] = static_cast<uint8_t>(random()); break;
      case 3: bytes.erase(from, to); break;
      case 4: {
        const Bytes again(from, to);
        bytes.insert(from, again.begin(), again.end());
        break;
      }
      default: {
        const Bytes& other = seeds[random() % seeds.size()];
        bytes.insert(from, other.begin(), other.end());
      }
    }
  }
  return bytes;
}

const char* option(int count, char** arguments, const char* name, const char* otherwise) {
  for (int i = 1; i < count; i++)
    if (std::strncmp(arguments[i], name, std::strlen(name)) == 0) return arguments[i] + std::strlen(name);
  return otherwise;
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Bytes> seeds(1);
  for (const auto& entry : std::filesystem::directory_iterator(arguments[count - 1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  std::mt19937 random(std::atoi(option(count, arguments, "-seed=", "1")));
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(option(count, arguments, "-max_total_time=", "10")));
  size_t runs = 0;
  for (; Clock::now() < end; runs++) {
    const Bytes input = mutated(seeds[random() % seeds.size()], seeds, random);
    if (std::getenv("KEEP_INPUT") != nullptr)
      std::ofstream("crash-input", std::ios::binary).write(reinterpret_cast<const char*>(input.data()), input.size());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu seeds, %zu runs\n", seeds.size() - 1, runs);
}
