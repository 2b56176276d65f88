#include "linux/bpf/programs.hh"

#include <netinet/in.h>

#include "linux/bpf/record_writer.hh"

namespace proclabel {
namespace {

/** A conversation is told anew that often. */
constexpr int32_t sighting_again_ns = 1'000'000'000;

/** Writes one program. */
class Writer : public RecordWriter {
 public:
  using RecordWriter::RecordWriter;

  std::vector<bpf_insn> tcp_state() {
    load(eight, r6, r1, 0);
    load(eight, r7, r1, 8);
    load(eight, r8, r1, 16);
    move_low(r7, r7);
    move_low(r8, r8);
    load(two, r2, r6, short_of(layout_.socket.protocol));
    jump_if_not_equal(r2, IPPROTO_TCP, end_);
    begin_record(Kind::tcp_state);
    store(one, r10, FIELD(from), r7);
    store(one, r10, FIELD(to), r8);
    read_number();

    Label tell, established, close, use;
    jump_if_equal(r8, number(TcpState::syn_sent), tell);
    jump_if_equal(r8, number(TcpState::listen), tell);
    jump_if_equal(r8, number(TcpState::established), established);
    jump_if_equal(r8, number(TcpState::close), close);
    jump_if_equal(r8, number(TcpState::fin_wait_1), use);
    jump_if_not_equal(r8, number(TcpState::last_ack), end_);
    place(use);
    take_accepted(end_);
    jump(tell);
    place(established);
    jump_if_not_equal(r7, number(TcpState::syn_recv), tell);
    entry_of_socket(maps_.accepted);
    put();
    jump(tell);
    place(close);
    entry_of_socket(maps_.accepted);
    call(BPF_FUNC_map_delete_elem);
    place(tell);
    load(four, r2, r6, short_of(layout_.socket.owned));
    Label is_owned;
    // Who changes a socket on behalf of a process holds its lock; an interrupt only looks that nobody does (lock_sock, bh_lock_sock).
    jump_if_not_equal(r2, 0, is_owned);
    store(one, r10, FIELD(in_interrupt), 1);
    place(is_owned);
    read_socket();
    return tell_record();
  }

  /** At the end of sending or receiving: socket, and bytes or an error. */
  std::vector<bpf_insn> use(Kind kind) {
    load(eight, r6, r1, 0);
    load(eight, r7, r1, 8);
    move_low(r7, r7);
    Label is_inet, udp, tell;
    load(two, r2, r6, short_of(layout_.socket.family));
    jump_if_equal(r2, AF_INET, is_inet);
    jump_if_not_equal(r2, AF_INET6, end_);
    place(is_inet);
    load(two, r2, r6, short_of(layout_.socket.protocol));
    jump_if_equal(r2, IPPROTO_UDP, udp);
    jump_if_not_equal(r2, IPPROTO_TCP, end_);
    read_number();
    take_accepted(end_);
    begin_record(Kind::tcp_use);
    read_socket();
    jump(tell);

    place(udp);
    jump_if_negative(r7, end_);
    read_number();
    skip_if_seen();
    begin_record(kind);
    read_socket();
    entry_of_socket(maps_.sightings);
    put();
    if (kind == Kind::udp_send) read_route();
    place(tell);
    return tell_record();
  }

  /**
   * A route is looked up for every datagram of an unconnected socket, before it leaves, and when a socket is connected: what the
   * socket itself does not tell. `flow`: which argument it is.
   */
  std::vector<bpf_insn> route(int16_t flow, uint32_t to, uint32_t ports_from, uint32_t ports_to, bool is_v6) {
    load(eight, r6, r1, flow * 8);
    load(one, r2, r6, short_of(layout_.flow.protocol));
    jump_if_not_equal(r2, IPPROTO_UDP, end_);
    // As if it came from the loopback interface, whose number is 1, where it is not passed on for another host.
    load(four, r2, r6, short_of(layout_.flow.interface));
    jump_if_not_equal(r2, 1, end_);
    load(two, r7, r6, short_of(ports_from));
    jump_if_equal(r7, 0, end_);
    Label is_known;
    entry_of_thread(maps_.routes, r7);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_not_equal(r0, 0, is_known);
    clear(sizeof(BpfRoute));
    entry(maps_.routes, scratch);
    put();
    entry(maps_.routes, scratch);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, end_);
    place(is_known);
    move(r8, r0);
    call(BPF_FUNC_ktime_get_ns);
    store(eight, r8, offsetof(BpfRoute, time_ns), r0);
    load(two, r2, r6, short_of(ports_to));
    store(two, r8, offsetof(BpfRoute, remote_port), r2);
    if (is_v6) read_v6(r8, offsetof(BpfRoute, remote), to);
    else read_v4(r8, offsetof(BpfRoute, remote), to);
    return end();
  }

  std::vector<bpf_insn> fork() {
    load(eight, r6, r1, 0);
    load(eight, r7, r1, 8);
    load(four, r2, r7, short_of(layout_.task.thread));
    load(four, r8, r7, short_of(layout_.task.process));
    jump_if_not_equal(r2, r8, end_);
    begin_record(Kind::fork);
    store(four, r10, FIELD(child), r8);
    load(four, r2, r6, short_of(layout_.task.process));
    store(four, r10, FIELD(pid), r2);
    load(eight, r2, r7, short_of(layout_.task.start));
    store(eight, r10, FIELD(start_ns), r2);
    return tell_record();
  }

  std::vector<bpf_insn> exec() {
    load(eight, r7, r1, 16);
    load(eight, r7, r7, short_of(layout_.path));
    begin_record(Kind::exec);
    read_process();
    entry_of_array(maps_.room);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, end_);
    move(r6, r0);

    move(r1, r6);
    add(r1, record_size);
    move(r2, longest_path);
    move(r3, r7);
    call(BPF_FUNC_probe_read_kernel_str);
    Label is_read;
    jump_if_less(r0, longest_path + 1, is_read);
    move(r0, 0);
    place(is_read);
    move(r7, r0);
    store(four, r10, FIELD(text_length), r7);
    for (int16_t at = 0; at < record_size; at += 8) {
      load(eight, r2, r10, stack + at);
      store(eight, r6, at, r2);
    }
    move(r2, r6);
    move(r3, r7);
    add(r3, record_size);
    return output();
  }

  std::vector<bpf_insn> process_exit() {
    load(eight, r6, r1, 0);
    load(eight, r2, r6, short_of(layout_.task.signal));
    load(four, r2, r2, short_of(layout_.live_threads));
    // Threads of it go on.
    jump_if_not_equal(r2, 0, end_);
    begin_record(Kind::exit);
    read_process();
    return tell_record();
  }

 private:
  /** Ends where the same process was seen with the socket within the last second, connected to the same end if to any. */
  void skip_if_seen() {
    Label is_new, v6;
    entry_of_socket(maps_.sightings);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, is_new);
    move(r9, r0);
    call(BPF_FUNC_get_current_task_btf);
    load(four, r2, r0, short_of(layout_.task.process));
    load(four, r3, r9, offsetof(BpfRecord, pid));
    jump_if_not_equal(r2, r3, is_new);
    call(BPF_FUNC_ktime_get_ns);
    load(eight, r2, r9, offsetof(BpfRecord, time_ns));
    subtract(r0, r2);
    jump_if_greater(r0, sighting_again_ns, is_new);
    load(two, r2, r6, short_of(layout_.socket.remote_port));
    jump_if_equal(r2, 0, end_);
    load(two, r3, r9, offsetof(BpfRecord, remote_port));
    jump_if_not_equal(r2, r3, is_new);
    load(two, r2, r6, short_of(layout_.socket.family));
    jump_if_equal(r2, AF_INET6, v6);
    same(four, layout_.socket.remote_v4, offsetof(BpfRecord, remote) + 12, is_new);
    jump(end_);
    place(v6);
    same(eight, layout_.socket.remote_v6, offsetof(BpfRecord, remote), is_new);
    same(eight, layout_.socket.remote_v6 + 8, offsetof(BpfRecord, remote) + 8, is_new);
    jump(end_);
    place(is_new);
  }

  /** A part of the socket and of its last sighting. */
  void same(Width width, uint32_t of_socket, int16_t of_record, Label& otherwise) {
    load(width, r2, r6, short_of(of_socket));
    load(width, r3, r9, of_record);
    jump_if_not_equal(r2, r3, otherwise);
  }

  /** The datagram's own remote end, and a time before it left. */
  void read_route() {
    Label done;
    load(two, r7, r10, FIELD(local_port));
    entry_of_thread(maps_.routes, r7);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, done);
    load(eight, r2, r0, offsetof(BpfRoute, time_ns));
    jump_if_equal(r2, 0, done);
    store(eight, r0, offsetof(BpfRoute, time_ns), 0);
    store(eight, r10, FIELD(time_ns), r2);
    load(two, r2, r10, FIELD(remote_port));
    jump_if_not_equal(r2, 0, done);
    load(two, r2, r0, offsetof(BpfRoute, remote_port));
    store(two, r10, FIELD(remote_port), r2);
    for (int16_t at = 0; at < 16; at += 8) {
      load(eight, r2, r0, offsetof(BpfRoute, remote) + at);
      store(eight, r10, FIELD(remote) + at, r2);
    }
    place(done);
  }

  /** Ends where it is no accepted socket, or one that was used before. */
  void take_accepted(Label& otherwise) {
    entry_of_socket(maps_.accepted);
    call(BPF_FUNC_map_lookup_elem);
    jump_if_equal(r0, 0, otherwise);
    entry_of_socket(maps_.accepted);
    call(BPF_FUNC_map_delete_elem);
  }
};

}  // namespace

std::vector<BpfProgram> make_programs(const KernelLayout& layout, const BpfMaps& maps) {
  const auto writer = [&] { return Writer(layout, maps); };
  const auto& flow = layout.flow;
  return {{"inet_sock_set_state", true, writer().tcp_state()},
          {"sock_send_length", true, writer().use(KernelEvent::Kind::udp_send)},
          {"sock_recv_length", true, writer().use(KernelEvent::Kind::udp_receive)},
          {"fib_table_lookup", true, writer().route(1, flow.v4_to, flow.v4_ports_from, flow.v4_ports_to, false)},
          {"fib6_table_lookup", false, writer().route(3, flow.v6_to, flow.v6_ports_from, flow.v6_ports_to, true)},
          {"sched_process_fork", true, writer().fork()},
          {"sched_process_exec", true, writer().exec()},
          {"sched_process_exit", true, writer().process_exit()}};
}

}  // namespace proclabel
