#include "packet_source.hh"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
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

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const { return fd_; }

 private:
  const int fd_;
};

/** An AF_PACKET socket with a TPACKET_V3 ring (packet(7), Documentation/networking/packet_mmap.rst of the kernel). */
class PacketSocket : public PacketSource {
 public:
  PacketSocket(const std::string& device, const std::string& filter, size_t ring_bytes, uint16_t group)
      // Protocol 0: nothing comes before the filter is in place and the socket bound.
      : device_(device), fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) throw system_error("cannot open a packet socket", errno);
    if (device.size() >= IFNAMSIZ || index() == 0) throw system_error(device, ENODEV);
    link_type_ = link_type();
    if (!filter.empty()) attach(compile_filter(device, filter, link_type_));
    map_ring(std::max<size_t>(ring_bytes / block_bytes, 2));
    bind_to(index());
    if (group != 0) join(group);
  }

  ~PacketSocket() override {
    if (!memory_.empty()) munmap(memory_.data(), memory_.size());
  }

  std::span<uint8_t> memory() override { return memory_; }

  size_t most_frames() const override { return block_bytes / least_frame_bytes; }

  size_t next(const FrameColumns& columns) override {
    if (is_held_) {
      status().store(TP_STATUS_KERNEL, std::memory_order_release);
      at_ = (at_ + 1) % (memory_.size() / block_bytes);
    }
    is_held_ = (status().load(std::memory_order_acquire) & TP_STATUS_USER) != 0;
    return is_held_ ? read_block(memory_, at_, block_bytes, link_type_, columns) : 0;
  }

  uint64_t dropped() override {
    // The kernel's counts begin anew at each reading; that of received frames includes the dropped.
    tpacket_stats_v3 counts{};
    socklen_t length = sizeof counts;
    if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &counts, &length) == 0) dropped_ += counts.tp_drops;
    return dropped_;
  }

  void follow() override {
    // A socket takes frames again by itself when its interface comes up again, but not when that was made anew.
    const int current = index();
    if (current == 0 || current == bound_to_) return;
    if (is_in_group_) throw SourceError("the interface was made anew: start the capture again", "ENODEV");
    if (link_type() != link_type_) throw SourceError("the interface has become one of another link layer", unknown_link);
    bind_to(current);
  }

 private:
  ifreq named() const {
    ifreq request{};
    std::copy(device_.begin(), device_.end(), request.ifr_name);
    return request;
  }

  /** 0 when there is no such interface. */
  int index() const {
    ifreq request = named();
    return ioctl(fd_, SIOCGIFINDEX, &request) < 0 ? 0 : request.ifr_ifindex;
  }

  /** The LINKTYPE_ value of the interface's frames. */
  uint16_t link_type() {
    ifreq request = named();
    if (ioctl(fd_, SIOCGIFHWADDR, &request) < 0) throw system_error(device_, errno);
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

  void attach(std::vector<sock_filter> instructions) {
    const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
    if (instructions.size() > BPF_MAXINSNS || setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
      throw SourceError("the kernel does not take the filter: it is too long", bad_filter);
  }

  void map_ring(size_t blocks) {
    const int version = TPACKET_V3;
    const unsigned int reserve = vlan_tag_bytes;
    set(PACKET_VERSION, &version, sizeof version, "the kernel has no TPACKET_V3");
    set(PACKET_RESERVE, &reserve, sizeof reserve, "cannot reserve room for VLAN tags");
    tpacket_req3 request{};
    request.tp_block_size = block_bytes;
    request.tp_block_nr = static_cast<unsigned int>(blocks);
    // Frames of a V3 ring have no fixed size, but the kernel checks the product.
    request.tp_frame_size = block_bytes;
    request.tp_frame_nr = static_cast<unsigned int>(blocks);
    request.tp_retire_blk_tov = block_period_ms;
    set(PACKET_RX_RING, &request, sizeof request, "cannot get the memory for the ring of frames");
    const size_t bytes = blocks * block_bytes;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) throw system_error("cannot map the ring of frames", errno);
    memory_ = {static_cast<uint8_t*>(memory), bytes};
  }

  void bind_to(int index) {
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

  /** By the hash of a flow's addresses and ports, which is the same for both directions. */
  void join(uint16_t group) {
    const int fanout = group | PACKET_FANOUT_HASH << 16;
    set(PACKET_FANOUT, &fanout, sizeof fanout, "cannot share the interface among several threads");
    is_in_group_ = true;
  }

  /** Whose the block at hand is: the kernel's or ours. */
  std::atomic_ref<uint32_t> status() {
    auto* descriptor = reinterpret_cast<tpacket_block_desc*>(memory_.data() + at_ * block_bytes);
    return std::atomic_ref(descriptor->hdr.bh1.block_status);
  }

  const std::string device_;
  const Descriptor fd_;
  uint16_t link_type_ = 0;
  bool is_loopback_ = false;
  bool is_in_group_ = false;
  int bound_to_ = 0;
  std::span<uint8_t> memory_;
  size_t at_ = 0;
  bool is_held_ = false;
  uint64_t dropped_ = 0;
};

}  // namespace

std::unique_ptr<PacketSource> open_packet_source(const std::string& device, const std::string& filter,
                                                 size_t ring_bytes, uint16_t group) {
  return std::make_unique<PacketSocket>(device, filter, ring_bytes, group);
}

}  // namespace proclabel
