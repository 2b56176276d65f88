#include "linux/bpf/bpf_tap.hh"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "linux/bpf/bpf_ring.hh"
#include "linux/bpf/programs.hh"
#include "linux/descriptor.hh"
#include "linux/kernel_files.hh"
#include "linux/system_error.hh"

namespace proclabel {
namespace {

constexpr const char* types_file = "/sys/kernel/btf/vmlinux";
/** Those longest unused make room for others. */
constexpr uint32_t max_sightings = 16'384, max_accepted = 65'536, max_routes = 16'384;

constexpr int max_load_attempts = 10;

/** -1 with `errno`. */
int bpf(bpf_cmd command, bpf_attr& attributes) { return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes)); }

Descriptor create_map(bpf_map_type type, uint32_t key_size, uint32_t value_size, uint32_t entries, uint32_t flags = 0) {
  bpf_attr attributes{};
  attributes.map_type = type;
  attributes.key_size = key_size;
  attributes.value_size = value_size;
  attributes.max_entries = entries;
  attributes.map_flags = flags;
  Descriptor map(bpf(BPF_MAP_CREATE, attributes));
  if (map < 0) throw system_error("cannot make a map for programs in the kernel", errno);
  return map;
}

Descriptor load(const BpfProgram& program, uint32_t tracepoint_type) {
  // With less the kernel does not let a program read its structures.
  static constexpr char license[] = "GPL";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_TRACING;
  attributes.expected_attach_type = BPF_TRACE_RAW_TP;
  attributes.attach_btf_id = tracepoint_type;
  attributes.insns = reinterpret_cast<uint64_t>(program.instructions.data());
  attributes.insn_cnt = static_cast<uint32_t>(program.instructions.size());
  attributes.license = reinterpret_cast<uint64_t>(license);
  Descriptor loaded;
  // A signal to this process ends the verifier's work.
  for (int i = 0; i < max_load_attempts && loaded < 0 && (i == 0 || errno == EAGAIN); i++)
    loaded.reset(bpf(BPF_PROG_LOAD, attributes));
  if (loaded < 0) throw system_error(std::string("cannot load a program for ") + program.name, errno);
  return loaded;
}

/** It runs until the descriptor is closed. */
Descriptor attach(const BpfProgram& program, const Descriptor& loaded) {
  bpf_attr attributes{};
  attributes.raw_tracepoint.prog_fd = loaded;
  Descriptor link(bpf(BPF_RAW_TRACEPOINT_OPEN, attributes));
  if (link < 0) throw system_error(std::string("cannot follow the tracepoint ") + program.name, errno);
  return link;
}

/** A number that programs add to, seen without asking the kernel. */
class Counter {
 public:
  explicit Counter(const Descriptor& map) : size_(sysconf(_SC_PAGESIZE)) {
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (memory_ == MAP_FAILED) throw system_error("cannot map the count of lost kernel events", errno);
  }
  ~Counter() { munmap(memory_, size_); }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  uint64_t get() const { return std::atomic_ref(*static_cast<uint64_t*>(memory_)).load(std::memory_order_relaxed); }

 private:
  const size_t size_;
  void* memory_;
};

/** For as many events as a ring of tracepoints of `buffer_bytes`: their records take twice as much. */
size_t ring_size(size_t buffer_bytes) { return std::bit_floor(std::max<size_t>(buffer_bytes / 2, sysconf(_SC_PAGESIZE))); }

class BpfTap : public EventTap {
 public:
  explicit BpfTap(size_t buffer_bytes)
      : records_(create_map(BPF_MAP_TYPE_RINGBUF, 0, 0, static_cast<uint32_t>(ring_size(buffer_bytes)))),
        lost_(create_map(BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(uint64_t), 1, BPF_F_MMAPABLE)),
        ring_(records_, ring_size(buffer_bytes)),
        lost_count_(lost_) {
    const std::string bytes = read_file(types_file);
    if (bytes.empty()) throw system_error(std::string("cannot read the kernel's types in ") + types_file, errno);
    const Btf types(Slice(bytes.data(), bytes.size()));
    const auto layout = KernelLayout::find(types);
    if (!layout) throw SourceError("the kernel's structures are not those that the programs read", "ENOTSUP");

    const Descriptor sightings = create_map(BPF_MAP_TYPE_LRU_HASH, sizeof(uint64_t), sizeof(BpfRecord), max_sightings);
    const Descriptor accepted = create_map(BPF_MAP_TYPE_LRU_HASH, sizeof(uint64_t), sizeof(uint64_t), max_accepted);
    const Descriptor routes = create_map(BPF_MAP_TYPE_LRU_HASH, sizeof(uint64_t), sizeof(BpfRoute), max_routes);
    const Descriptor room = create_map(BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(BpfRecord) + longest_path, 1);
    const BpfMaps maps{records_, lost_, sightings, accepted, routes, room};
    for (const BpfProgram& program : make_programs(*layout, maps)) {
      const auto type = types.find(Btf::Kind::type_name, std::string("btf_trace_") + program.name);
      if (type) links_.push_back(attach(program, load(program, *type)));
      else if (program.is_required) throw SourceError(std::string("the kernel has no tracepoint ") + program.name, "ENOENT");
    }
  }

  bool complete() const override { return true; }

  uint64_t read(std::vector<KernelEvent>& events) override {
    const size_t first = events.size();
    ring_.read([&](const Slice& bytes) { decode(bytes, events); });
    // A program on another CPU may have written between the clock and the ring.
    std::stable_sort(events.begin() + static_cast<ptrdiff_t>(first), events.end(),
                     [](const KernelEvent& a, const KernelEvent& b) { return a.time_ns < b.time_ns; });
    const uint64_t lost = lost_count_.get();
    return lost - std::exchange(told_lost_, lost);
  }

 private:
  static void decode(const Slice& bytes, std::vector<KernelEvent>& events) {
    const auto record = bytes.read<BpfRecord>(0);
    if (!record) return;
    KernelEvent event;
    event.kind = record->kind;
    event.from = static_cast<TcpState>(record->from);
    event.to = static_cast<TcpState>(record->to);
    event.in_interrupt = record->in_interrupt != 0;
    event.local_port = ntohs(record->local_port);
    event.remote_port = ntohs(record->remote_port);
    event.pid = record->pid;
    event.child = record->child;
    event.time_ns = static_cast<int64_t>(record->time_ns);
    event.start_ns = static_cast<int64_t>(record->start_ns);
    event.socket = record->socket;
    event.namespace_inode = record->namespace_inode;
    std::memcpy(&event.local, record->local, sizeof event.local);
    std::memcpy(&event.remote, record->remote, sizeof event.remote);
    event.text = record->kind == KernelEvent::Kind::exec ? text(bytes.part(sizeof *record)) : text(Slice(record->name, sizeof record->name));
    events.push_back(std::move(event));
  }

  static std::string text(const Slice& bytes) {
    const auto* begin = reinterpret_cast<const char*>(bytes.bytes().data());
    return std::string(begin, strnlen(begin, bytes.size()));
  }

  const Descriptor records_, lost_;
  BpfRing ring_;
  const Counter lost_count_;
  std::vector<Descriptor> links_;
  uint64_t told_lost_ = 0;
};

}  // namespace

std::unique_ptr<EventTap> open_bpf_tap(size_t buffer_bytes) {
  require_numbers_of_host();
  return std::make_unique<BpfTap>(buffer_bytes);
}

}  // namespace proclabel
