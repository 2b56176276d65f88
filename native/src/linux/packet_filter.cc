#include "linux/packet_filter.hh"

#include <dlfcn.h>

#include <array>
#include <memory>

#include "packet_source.hh"

namespace proclabel {

namespace {

// The part of pcap(3) that is used. libpcap is loaded only for a filter, so that capturing without one needs none.
struct pcap;
struct Program {
  unsigned int length;
  /** struct bpf_insn and struct sock_filter are the same words. */
  sock_filter* instructions;
};
constexpr size_t error_bytes = 256;
constexpr int optimize = 1;
constexpr unsigned int netmask_unknown = 0xffffffff;
constexpr int snap_length = 262'144;
/** DLT_RAW is a number of each system's own, and LINKTYPE_RAW another (101). */
constexpr int dlt_raw = 12;
constexpr int link_type_raw = 101;

class Library {
 public:
  Library() {
    for (const char* name : {"libpcap.so.0.8", "libpcap.so.1", "libpcap.so"})
      if ((handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL)) != nullptr) return;
    throw SourceError("libpcap, which compiles filters, cannot be loaded: install libpcap", bad_filter);
  }
  ~Library() { dlclose(handle_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <typename Function>
  Function* function(const char* name) const {
    void* address = dlsym(handle_, name);
    if (address == nullptr) throw SourceError(std::string("libpcap has no ") + name, bad_filter);
    return reinterpret_cast<Function*>(address);
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace

std::vector<sock_filter> compile_filter(const std::string& device, const std::string& expression, int link_type) {
  const Library library;
  const auto open_live = library.function<pcap*(const char*, int, int, int, char*)>("pcap_open_live");
  const auto data_link = library.function<int(pcap*)>("pcap_datalink");
  const auto compile =
      library.function<int(pcap*, Program*, const char*, int, unsigned int)>("pcap_compile");
  const auto last_error = library.function<char*(pcap*)>("pcap_geterr");
  const auto free_code = library.function<void(Program*)>("pcap_freecode");
  const auto close = library.function<void(pcap*)>("pcap_close");

  std::array<char, error_bytes> error{};
  const std::unique_ptr<pcap, void (*)(pcap*)> handle(open_live(device.c_str(), snap_length, 0, 0, error.data()), close);
  if (handle == nullptr) throw SourceError(error.data(), bad_filter);
  const int dlt = data_link(handle.get());
  if ((dlt == dlt_raw ? link_type_raw : dlt) != link_type)
    throw SourceError("libpcap takes the interface for one of another link layer", unknown_link);
  Program program{};
  if (compile(handle.get(), &program, expression.c_str(), optimize, netmask_unknown) != 0)
    throw SourceError(std::string("the filter cannot be compiled: ") + last_error(handle.get()), bad_filter);
  std::vector<sock_filter> instructions(program.instructions, program.instructions + program.length);
  free_code(&program);
  return instructions;
}

}  // namespace proclabel
