#include "linux/bpf/btf.hh"

#include <cstddef>
#include <string>
#include <vector>

#include "linux/bpf/kernel_layout.hh"
#include "linux/kernel_files.hh"
#include "test.hh"

using proclabel::Btf;
using proclabel::KernelLayout;
using proclabel::Slice;

namespace {

/** Writes BTF as include/uapi/linux/btf.h has it. */
class Writer {
 public:
  uint32_t type(Btf::Kind kind, const std::string& name, uint32_t count, uint32_t of, bool has_bitfields = false) {
    const uint32_t info = static_cast<uint32_t>(kind) << 24 | count | (has_bitfields ? 1u << 31 : 0);
    put({add_name(name), info, of});
    return ++types_;
  }
  void member(const std::string& name, uint32_t type, uint32_t bits) { put({add_name(name), type, bits}); }
  void put(const std::vector<uint32_t>& words) { words_.insert(words_.end(), words.begin(), words.end()); }

  std::vector<uint8_t> bytes() const {
    const auto length = static_cast<uint32_t>(words_.size() * 4);
    std::vector<uint32_t> head{0x0001EB9F, 24, 0, length, length, static_cast<uint32_t>(names_.size())};
    head.insert(head.end(), words_.begin(), words_.end());
    const auto* begin = reinterpret_cast<const uint8_t*>(head.data());
    std::vector<uint8_t> all(begin, begin + head.size() * 4);
    all.insert(all.end(), names_.begin(), names_.end());
    return all;
  }

 private:
  uint32_t add_name(const std::string& name) {
    if (name.empty()) return 0;
    const auto at = static_cast<uint32_t>(names_.size());
    names_ += name + '\0';
    return at;
  }

  uint32_t types_ = 0;
  std::vector<uint32_t> words_;
  std::string names_{'\0'};
};

/** struct inner { int a; int b; }; typedef struct inner named; struct outer { int x; union { named y; int z; }; int bit : 3; }; */
std::vector<uint8_t> example() {
  Writer writer;
  const uint32_t number = writer.type(Btf::Kind::integer, "int", 0, 4);
  writer.put({32});
  const uint32_t inner = writer.type(Btf::Kind::structure, "inner", 2, 8);
  writer.member("a", number, 0);
  writer.member("b", number, 32);
  const uint32_t named = writer.type(Btf::Kind::type_name, "named", 0, inner);
  const uint32_t together = writer.type(Btf::Kind::sum, "", 2, 8);
  writer.member("y", named, 0);
  writer.member("z", number, 0);
  writer.type(Btf::Kind::structure, "outer", 3, 16, true);
  writer.member("x", number, 0);
  writer.member("", together, 32);
  writer.member("bit", number, 3 << 24 | 96);
  return writer.bytes();
}

Slice slice(const std::vector<uint8_t>& bytes) { return Slice(bytes.data(), bytes.size()); }

}  // namespace

TEST("members are found by their path, through names of types and members without a name") {
  const auto bytes = example();
  const Btf types(slice(bytes));
  CHECK_EQUAL(types.offset("outer", "x").value(), 0u);
  CHECK_EQUAL(types.offset("outer", "z").value(), 4u);
  CHECK_EQUAL(types.offset("outer", "y.b").value(), 8u);
  CHECK_EQUAL(types.offset("outer", "bit").value(), 12u);
}

TEST("what a kernel does not have is not found") {
  const auto bytes = example();
  const Btf types(slice(bytes));
  CHECK(!types.offset("outer", "y.c").has_value());
  CHECK(!types.offset("outer", "x.y").has_value());
  CHECK(!types.offset("none", "x").has_value());
  CHECK(types.find(Btf::Kind::type_name, "named").has_value());
  CHECK(!types.find(Btf::Kind::structure, "named").has_value());
  CHECK(!KernelLayout::find(types).has_value());
}

TEST("BTF that ends anywhere, or is changed anywhere, is read within its bounds") {
  const auto whole = example();
  for (size_t length = 0; length < whole.size(); length++) {
    // Of a length of its own, so that the sanitizer sees a read beyond it.
    const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
    (void)Btf(slice(part)).offset("outer", "y.b");
  }
  for (size_t at = 0; at < whole.size(); at++) {
    for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto changed = whole;
      changed[at] = value;
      (void)Btf(slice(changed)).offset("outer", "y.b");
    }
  }
}

TEST("the structures of the running kernel are found where it tells its types") {
  const std::string text = proclabel::read_file("/sys/kernel/btf/vmlinux");
  if (text.empty()) return;
  const auto layout = KernelLayout::find(Btf(Slice(text.data(), text.size())));
  CHECK(layout.has_value());
  // Of the part of struct sock_common that has stayed the same since Linux 3.10.
  CHECK_EQUAL(layout->socket.remote_v4, 0u);
  CHECK_EQUAL(layout->socket.local_v4, 4u);
  CHECK_EQUAL(layout->socket.remote_port, 12u);
  CHECK_EQUAL(layout->socket.family, 16u);
}
