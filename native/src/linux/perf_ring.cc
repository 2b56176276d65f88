#include "linux/perf_ring.hh"

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "linux/system_error.hh"

namespace proclabel {

PerfRing::PerfRing(int fd, size_t pages) : page_(sysconf(_SC_PAGESIZE)), size_(pages * page_) {
  // The first page is the kernel's account of the others.
  memory_ = mmap(nullptr, page_ + size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory_ == MAP_FAILED) throw system_error("cannot map the buffer for kernel events", errno);
}

PerfRing::~PerfRing() {
  if (memory_ != nullptr) munmap(memory_, page_ + size_);
}

PerfRing::PerfRing(PerfRing&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), page_(other.page_), size_(other.size_) {}

bool PerfRing::take(std::vector<uint8_t>& bytes) {
  auto* account = static_cast<perf_event_mmap_page*>(memory_);
  const uint8_t* data = static_cast<const uint8_t*>(memory_) + page_;
  const uint64_t head = std::atomic_ref(account->data_head).load(std::memory_order_acquire);
  const uint64_t tail = account->data_tail;
  const size_t count = std::min<uint64_t>(head - tail, size_);
  const size_t begin = tail % size_;
  const size_t until_wrap = std::min(count, size_ - begin);
  bytes.assign(data + begin, data + begin + until_wrap);
  bytes.insert(bytes.end(), data, data + (count - until_wrap));
  std::atomic_ref(account->data_tail).store(head, std::memory_order_release);
  // More than any event of ours takes, the path of a program being the longest.
  constexpr size_t longest_event = 8192;
  return size_ - count < longest_event;
}

}  // namespace proclabel
