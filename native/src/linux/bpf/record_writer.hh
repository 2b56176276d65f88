#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "linux/bpf/assembler.hh"
#include "linux/bpf/programs.hh"

namespace proclabel {

constexpr int32_t record_size = sizeof(BpfRecord);
static_assert(record_size % 8 == 0, "it is filled eight bytes at a time");
/** Where the record is, from the end of the stack. */
constexpr int16_t stack = -record_size;
/** Eight bytes below it. */
constexpr int16_t scratch = stack - 8;

/** Where a member of the record is. */
#define FIELD(member) static_cast<int16_t>(stack + offsetof(BpfRecord, member))

static_assert(sizeof(BpfRoute) % 8 == 0 && sizeof(BpfRoute) <= record_size, "it is first made in the record's place");

/** Offsets of an instruction have sixteen bits, and structures of the kernel are smaller. */
inline int16_t short_of(uint32_t offset) { return static_cast<int16_t>(offset); }

/** What the programs have in common. r6 is the socket where there is one, and the record is on the stack. */
class RecordWriter : public BpfAssembler {
 public:
  RecordWriter(const KernelLayout& layout, const BpfMaps& maps) : layout_(layout), maps_(maps) {}

 protected:
  using Label = BpfAssembler::Label;
  using Kind = KernelEvent::Kind;
  using enum Register;
  using enum Width;

  static int32_t number(auto value) { return static_cast<int32_t>(value); }

  void clear(int16_t size) {
    for (int16_t at = 0; at < size; at += 8) store(eight, r10, stack + at, 0);
  }

  void begin_record(Kind kind) {
    clear(record_size);
    store(one, r10, FIELD(kind), number(kind));
    call(BPF_FUNC_ktime_get_ns);
    store(eight, r10, FIELD(time_ns), r0);
  }

  /** What the kernel calls the socket's cookie: none has it again. */
  void read_number() {
    move(r1, r6);
    call(BPF_FUNC_get_socket_cookie);
    store(eight, r10, FIELD(socket), r0);
  }

  /** Its number and its ends, and whose thread runs. */
  void read_socket() {
    read_number();
    read_ends();
    read_process();
  }

  void read_ends() {
    load(eight, r2, r6, short_of(layout_.socket.net));
    load(four, r2, r2, short_of(layout_.net_inode));
    store(four, r10, FIELD(namespace_inode), r2);
    // Not of struct sock itself, so not to be loaded as its members are.
    move(r1, r10);
    add(r1, FIELD(local_port));
    move(r2, 2);
    move(r3, r6);
    add(r3, static_cast<int32_t>(layout_.socket.local_port));
    call(BPF_FUNC_probe_read_kernel);
    load(two, r2, r6, short_of(layout_.socket.remote_port));
    store(two, r10, FIELD(remote_port), r2);
    Label v6, done;
    load(two, r2, r6, short_of(layout_.socket.family));
    jump_if_equal(r2, AF_INET6, v6);
    read_v4(r10, FIELD(local), layout_.socket.local_v4);
    read_v4(r10, FIELD(remote), layout_.socket.remote_v4);
    jump(done);
    place(v6);
    read_v6(r10, FIELD(local), layout_.socket.local_v6);
    read_v6(r10, FIELD(remote), layout_.socket.remote_v6);
    place(done);
  }

  /** As ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
  void read_v4(Register base, int16_t to, uint32_t offset) {
    store(eight, base, to, 0);
    store(two, base, to + 8, 0);
    store(two, base, to + 10, -1);
    load(four, r2, r6, short_of(offset));
    store(four, base, to + 12, r2);
  }

  void read_v6(Register base, int16_t to, uint32_t offset) {
    for (int16_t at = 0; at < 16; at += 8) {
      load(eight, r2, r6, short_of(offset + at));
      store(eight, base, to + at, r2);
    }
  }

  /** Whose thread runs. */
  void read_process() {
    call(BPF_FUNC_get_current_task_btf);
    load(four, r2, r0, short_of(layout_.task.process));
    store(four, r10, FIELD(pid), r2);
    load(eight, r0, r0, short_of(layout_.task.leader));
    load(eight, r2, r0, short_of(layout_.task.start));
    store(eight, r10, FIELD(start_ns), r2);
    for (int16_t at = 0; at < 16; at += 8) {
      load(eight, r2, r0, short_of(layout_.task.name + at));
      store(eight, r10, FIELD(name) + at, r2);
    }
  }

  /** Arguments of a call about a map: its entry of the socket. */
  void entry_of_socket(int map) { entry(map, FIELD(socket)); }

  /** Of the thread that runs and a port. */
  void entry_of_thread(int map, Register port) {
    call(BPF_FUNC_get_current_pid_tgid);
    store(four, r10, scratch, r0);
    store(four, r10, scratch + 4, port);
    entry(map, scratch);
  }

  /** The only one of an array. */
  void entry_of_array(int map) {
    store(eight, r10, scratch, 0);
    entry(map, scratch);
  }

  void entry(int map, int16_t key) {
    load_map(r1, map);
    move(r2, r10);
    add(r2, key);
  }

  /** Writes what is in the record's place. */
  void put() {
    move(r3, r10);
    add(r3, stack);
    move(r4, BPF_ANY);
    call(BPF_FUNC_map_update_elem);
  }

  std::vector<bpf_insn> tell_record() {
    move(r2, r10);
    add(r2, stack);
    move(r3, record_size);
    return output();
  }

  /** What r2 points to, r3 bytes long; counts it where there is no room. Then the end. */
  std::vector<bpf_insn> output() {
    load_map(r1, maps_.records);
    move(r4, BPF_RB_NO_WAKEUP);
    call(BPF_FUNC_ringbuf_output);
    jump_if_equal(r0, 0, end_);
    entry_of_array(maps_.lost);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, end_);
    move(r1, 1);
    add_atomically(r0, 0, r1);
    return end();
  }

  std::vector<bpf_insn> end() {
    place(end_);
    move(r0, 0);
    exit();
    return std::move(*this).finish();
  }

  const KernelLayout layout_;
  const BpfMaps maps_;
  /** Of the program. */
  Label end_;
};

}  // namespace proclabel
