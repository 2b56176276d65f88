#include "linux/bpf/bpf_ring.hh"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "linux/system_error.hh"

namespace proclabel {
namespace {

size_t whole_size(size_t record_size) { return (record_size + BPF_RINGBUF_HDR_SZ + 7) & ~size_t{7}; }

std::atomic_ref<uint64_t> position(void* page) { return std::atomic_ref(*static_cast<uint64_t*>(page)); }

}  // namespace

BpfRing::BpfRing(int map, size_t size) : page_(sysconf(_SC_PAGESIZE)), size_(size) {
  consumer_ = mmap(nullptr, page_, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  producer_ = mmap(nullptr, page_ + size_, PROT_READ, MAP_SHARED, map, static_cast<off_t>(page_));
  if (consumer_ != MAP_FAILED && producer_ != MAP_FAILED) return;
  const int error = errno;
  if (consumer_ != MAP_FAILED) munmap(consumer_, page_);
  if (producer_ != MAP_FAILED) munmap(producer_, page_ + size_);
  throw system_error("cannot map the buffer for kernel events", error);
}

BpfRing::~BpfRing() {
  munmap(consumer_, page_);
  munmap(producer_, page_ + size_);
}

Slice BpfRing::next() {
  const uint64_t at = position(consumer_).load(std::memory_order_relaxed);
  if (at >= position(producer_).load(std::memory_order_acquire)) return {nullptr, 0};
  uint8_t* const records = static_cast<uint8_t*>(producer_) + page_;
  uint8_t* const record = records + (at & (size_ - 1));
  const uint32_t length = std::atomic_ref(*reinterpret_cast<uint32_t*>(record)).load(std::memory_order_acquire);
  // Still being written.
  if ((length & BPF_RINGBUF_BUSY_BIT) != 0) return {nullptr, 0};
  uint8_t* const begin = record + BPF_RINGBUF_HDR_SZ;
  const size_t until_end = records + size_ - begin;
  if (length <= until_end) return {begin, length};
  // Mapped twice in a row it would be in one piece, and count twice as resident memory.
  wrapped_.assign(begin, begin + until_end);
  wrapped_.insert(wrapped_.end(), records, records + (length - until_end));
  return {wrapped_.data(), length};
}

void BpfRing::release(size_t record_size) {
  const auto consumer = position(consumer_);
  consumer.store(consumer.load(std::memory_order_relaxed) + whole_size(record_size), std::memory_order_release);
}

}  // namespace proclabel
