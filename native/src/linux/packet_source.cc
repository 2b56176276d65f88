#include "packet_source.hh"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "linux/descriptor.hh"
#include "linux/packet_filter.hh"
#include "linux/packet_ring.hh"
#include "linux/system_error.hh"

namespace proclabel {

namespace {

/** Holds several of the largest frames that offloading makes (64 KiB), and some two thousand small ones. */
constexpr size_t block_bytes = 1 << 18;
/** A block that is not full is handed over after this time, so a ring of 256 blocks lasts for 5 s at low rates too. */
constexpr unsigned int block_period_ms = 20;
/** A frame takes its header (48 bytes), its sender's address (20), at least 16 of link layer, aligned, and the room for a tag. */
constexpr size_t least_frame_bytes = 96;
/** SOL_PACKET's option since Linux 4.20, which older headers do not name. */
constexpr int ignore_outgoing = 23;

constexpr uint16_t link_type_ethernet = 1;
constexpr uint16_t link_type_raw = 101;

/** An AF_PACKET socket with a TPACKET_V3 ring (packet(7), Documentation/networking/packet_mmap.rst of the kernel). */
class PacketSocket : public PacketSource {
 public:
  explicit PacketSocket(const PacketSourceOptions& options)
      : device_(options.device),
        group_(options.group),
        has_hardware_times_(options.hardware_times),
        blocks_(std::max<size_t>(options.ring_bytes / block_bytes, 2)) {
    open_socket();
    if (device_.size() >= IFNAMSIZ || index() == 0) throw system_error(device_, ENODEV);
    link_type_ = link_type();
    if (!options.filter.empty()) filter_ = compile_filter(device_, options.filter, link_type_);
    begin(index());
    if (group_ != 0 && !join()) throw SourceError("the group is of another interface, or full", "EINVAL");
  }

  ~PacketSocket() override {
    if (!memory_.empty()) munmap(memory_.data(), memory_.size());
  }

  std::span<uint8_t> memory() override { return memory_; }

  size_t most_frames() const override { return block_bytes / least_frame_bytes; }

  size_t next(const FrameColumns& columns) override {
    if (is_held_) {
      status().store(TP_STATUS_KERNEL, std::memory_order_release);
      at_ = (at_ + 1) % blocks_;
    }
    is_held_ = (status().load(std::memory_order_acquire) & TP_STATUS_USER) != 0;
    return is_held_ ? read_block(memory_, at_, block_bytes, link_type_, columns) : 0;
  }

  uint64_t dropped() override {
    // The kernel's counts begin anew at each reading; that of received frames includes the dropped.
    tpacket_stats_v3 counts{};
    socklen_t length = sizeof counts;
    if (fd_ >= 0 && getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &counts, &length) == 0) dropped_ += counts.tp_drops;
    return dropped_;
  }

  void follow() override {
    // A socket takes frames again by itself when its interface comes up again, but not when that was made anew.
    const int current = index();
    if (current == 0 || current == bound_to_) return;
    if (link_type() != link_type_) throw SourceError("the interface has become one of another link layer", unknown_link);
    if (group_ == 0) bind_to(current);
    else if (!has_unread()) join_anew(current);
  }

 private:
  /** 0 when there is no such interface. */
  int index() const { return static_cast<int>(if_nametoindex(device_.c_str())); }

  /** Asks the kernel about the interface, also while there is no socket of its own; as ioctl(2). */
  int ask(unsigned long what, ifreq& request) const {
    std::copy(device_.begin(), device_.end(), request.ifr_name);
    const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return ioctl(any, what, &request);
  }

  /** The card stamps every frame (Documentation/networking/timestamping.rst of the kernel), and the ring has those stamps. */
  void use_hardware_times() {
    hwtstamp_config config{};
    ifreq request{};
    request.ifr_data = reinterpret_cast<char*>(&config);
    // Whether somebody has turned them on may be asked without privilege.
    const bool is_on = ask(SIOCGHWTSTAMP, request) == 0 && config.rx_filter == HWTSTAMP_FILTER_ALL;
    if (!is_on) {
      config.rx_filter = HWTSTAMP_FILTER_ALL;
      if (ask(SIOCSHWTSTAMP, request) < 0 && errno == EPERM)
        throw SourceError("to turn on its time stamps needs CAP_NET_ADMIN; 'hwstamp_ctl -r 1' may do so before", no_stamps);
      if (config.rx_filter != HWTSTAMP_FILTER_ALL || ask(SIOCGHWTSTAMP, request) < 0)
        throw SourceError("it has no time stamps of its own for all frames", no_stamps);
    }
    const int source = SOF_TIMESTAMPING_RAW_HARDWARE;
    set(PACKET_TIMESTAMP, &source, sizeof source, "the kernel hands on no time stamps of the card");
  }

  /** The LINKTYPE_ value of the interface's frames. */
  uint16_t link_type() {
    ifreq request{};
    if (ask(SIOCGIFHWADDR, request) < 0) throw system_error(device_, errno);
    switch (request.ifr_hwaddr.sa_family) {
      case ARPHRD_LOOPBACK:
        is_loopback_ = true;
        return link_type_ethernet;
      case ARPHRD_ETHER:
        return link_type_ethernet;
      case ARPHRD_NONE:
      case ARPHRD_RAWIP:
        return link_type_raw;
      default:
        throw SourceError("the native source knows Ethernet and bare IP alone", unknown_link);
    }
  }

  void set(int option, const void* value, socklen_t size, const char* what) {
    if (setsockopt(fd_, SOL_PACKET, option, value, size) < 0) throw system_error(what, errno);
  }

  void open_socket() {
    // Protocol 0: nothing comes before the filter is in place and the socket bound.
    fd_.reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (fd_ < 0) throw system_error("cannot open a packet socket", errno);
  }

  /** Frames of the interface come from now on. */
  void begin(int index) {
    if (!filter_.empty()) attach(filter_);
    map_ring();
    bind_to(index);
  }

  /**
   * A socket of a group cannot be bound to another interface, and the group is of the old one until all have left it. So this
   * one leaves, and joins with a new socket whose ring is where the old one's was; as long as others have not left, it tries again.
   */
  void join_anew(int index) {
    dropped();
    leave();
    open_socket();
    begin(index);
    if (!join()) leave();
  }

  void leave() {
    // The mapping holds the socket open.
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(memory_.data(), memory_.size(), PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
      throw system_error("cannot give back the ring of frames", errno);
    fd_.reset(-1);
    at_ = 0;
    is_held_ = false;
    bound_to_ = 0;
  }

  /** Whether the block behind the one at hand is ours already. */
  bool has_unread() {
    const size_t next = is_held_ ? (at_ + 1) % blocks_ : at_;
    return (status(next).load(std::memory_order_acquire) & TP_STATUS_USER) != 0;
  }

  void attach(std::span<sock_filter> instructions) {
    const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
    if (instructions.size() > BPF_MAXINSNS || setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
      throw SourceError("the kernel does not take the filter: it is too long", bad_filter);
  }

  void map_ring() {
    const int version = TPACKET_V3;
    const unsigned int reserve = vlan_tag_bytes;
    set(PACKET_VERSION, &version, sizeof version, "the kernel has no TPACKET_V3");
    set(PACKET_RESERVE, &reserve, sizeof reserve, "cannot reserve room for VLAN tags");
    tpacket_req3 request{};
    request.tp_block_size = block_bytes;
    request.tp_block_nr = static_cast<unsigned int>(blocks_);
    // Frames of a V3 ring have no fixed size, but the kernel checks the product.
    request.tp_frame_size = block_bytes;
    request.tp_frame_nr = static_cast<unsigned int>(blocks_);
    request.tp_retire_blk_tov = block_period_ms;
    set(PACKET_RX_RING, &request, sizeof request, "cannot get the memory for the ring of frames");
    const size_t bytes = blocks_ * block_bytes;
    const int flags = MAP_SHARED | (memory_.empty() ? 0 : MAP_FIXED);
    void* memory = mmap(memory_.data(), bytes, PROT_READ | PROT_WRITE, flags, fd_, 0);
    if (memory == MAP_FAILED) throw system_error("cannot map the ring of frames", errno);
    memory_ = {static_cast<uint8_t*>(memory), bytes};
  }

  void bind_to(int index) {
    if (has_hardware_times_) use_hardware_times();
    // On loopback each packet would come twice, as it goes out and as it comes in.
    const int yes = 1;
    if (is_loopback_) set(ignore_outgoing, &yes, sizeof yes, "the kernel cannot leave out what goes out");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = index;
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) throw system_error(device_, errno);
    packet_mreq promiscuous{};
    promiscuous.mr_ifindex = index;
    promiscuous.mr_type = PACKET_MR_PROMISC;
    set(PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous, "cannot listen to all frames");
    bound_to_ = index;
  }

  /** By the hash of a flow's addresses and ports, which is the same for both directions. Whether the group takes us. */
  bool join() {
    const int fanout = group_ | PACKET_FANOUT_HASH << 16;
    if (setsockopt(fd_, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof fanout) == 0) return true;
    if (errno == EINVAL || errno == ENOSPC) return false;
    throw system_error("cannot share the interface among several captures", errno);
  }

  std::atomic_ref<uint32_t> status() { return status(at_); }

  /** Whose a block is: the kernel's or ours. */
  std::atomic_ref<uint32_t> status(size_t block) {
    auto* descriptor = reinterpret_cast<tpacket_block_desc*>(memory_.data() + block * block_bytes);
    return std::atomic_ref(descriptor->hdr.bh1.block_status);
  }

  const std::string device_;
  const uint16_t group_;
  const bool has_hardware_times_;
  const size_t blocks_;
  /** None while the members of a group leave an interface that is gone. */
  Descriptor fd_;
  std::vector<sock_filter> filter_;
  uint16_t link_type_ = 0;
  bool is_loopback_ = false;
  int bound_to_ = 0;
  std::span<uint8_t> memory_;
  size_t at_ = 0;
  bool is_held_ = false;
  uint64_t dropped_ = 0;
};

}  // namespace

std::unique_ptr<PacketSource> open_packet_source(const PacketSourceOptions& options) {
  return std::make_unique<PacketSocket>(options);
}

}  // namespace proclabel
