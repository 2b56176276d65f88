#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "event_source.hh"
#include "linux/kernel_event.hh"
#include "linux/network_namespaces.hh"
#include "linux/process_book.hh"

namespace proclabel {

/**
 * Makes events with owner and both ends of what the kernel tells piece by piece: at CLOSE -> SYN_SENT the process is right but
 * the local port not yet chosen; at -> ESTABLISHED the ports are there, but whoever runs then has nothing to do with it.
 *
 *   client  CLOSE -> SYN_SENT (owner)  ... -> ESTABLISHED (ends)       connect, of the time of the former
 *   server  CLOSE -> LISTEN   (owner)                                  listen
 *           SYN_RECV -> ESTABLISHED (ends)  ... first use, or close    accept; again, when its owner is known
 */
class SocketTracker {
 public:
  /**
   * `namespace_inode`: our network namespace; 0 where all are one. Sockets of `others` are told with addresses that show on a
   * wire, as NetworkNamespaces does it; null: nothing is told of them.
   */
  explicit SocketTracker(uint64_t namespace_inode, std::shared_ptr<NetworkNamespaces> others = nullptr)
      : namespace_inode_(namespace_inode), others_(std::move(others)) {}

  ProcessBook& processes() { return processes_; }

  /** Gives back the memory of what is past: what goes on is told by polls. */
  void forget();

  /**
   * Appends to `events` what `told` means; `wall_offset_ns` is wall clock minus monotonic clock. `lossy`: some were lost among
   * them: what is joined over the hole has no owner rather than a wrong one.
   */
  void apply(const std::vector<KernelEvent>& told, bool lossy, int64_t wall_offset_ns, std::vector<SocketEvent>& events);

 private:
  struct Tracked {
    enum class Phase : uint8_t { connecting, connected, accepted } phase = Phase::connecting;
    int64_t time_ns = 0;
    std::shared_ptr<const Process> owner;
  };
  struct Sighting {
    int64_t time_ns = 0;
    const Process* owner = nullptr;
  };
  /** The ends of a datagram; the remote one is zero where it is not known. */
  struct Ends {
    Address local, remote;
    uint16_t local_port, remote_port;
    bool operator==(const Ends&) const = default;
  };
  struct EndsHash {
    size_t operator()(const Ends& ends) const;
  };

  void apply_state(const KernelEvent& told);
  void establish(const KernelEvent& told);
  void close(const KernelEvent& told);
  void use(const KernelEvent& told);
  void give_to_user(const KernelEvent& told, Tracked& tracked);
  void see_datagram(const KernelEvent& told);
  void start_process(const KernelEvent& told);
  void end_process(const KernelEvent& told);
  void tell_process(EventKind kind, const KernelEvent& told, std::shared_ptr<const Process> process);
  std::shared_ptr<const Process> owner_of(const KernelEvent& told);
  bool is_elsewhere(const KernelEvent& told);
  uint64_t namespace_of(const KernelEvent& told, int32_t pid);
  void tell(EventKind kind, const KernelEvent& told, int64_t time_ns, std::shared_ptr<const Process> owner);
  void tell_elsewhere(SocketEvent event, uint64_t inode, int32_t pid);

  /** Beyond that many, all are forgotten; polls tell what goes on. */
  static constexpr size_t max_tracked = 262'144;
  static constexpr size_t max_sightings = 65'536;
  /** A conversation is told anew that often. */
  static constexpr int64_t sighting_again_ns = 1'000'000'000;

  const uint64_t namespace_inode_;
  const std::shared_ptr<NetworkNamespaces> others_;
  ProcessBook processes_;
  std::unordered_map<uint64_t, Tracked> tracked_;
  std::unordered_map<Ends, Sighting, EndsHash> sightings_;
  /** Processes that were told as owners: only their ends are of interest. By pid. */
  std::unordered_map<int32_t, std::shared_ptr<const Process>> told_;
  bool lossy_ = false;
  int64_t wall_offset_ns_ = 0;
  std::vector<SocketEvent>* events_ = nullptr;
};

}  // namespace proclabel
