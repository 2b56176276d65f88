#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "slice.hh"

namespace proclabel {

/**
 * Types of the running kernel, as /sys/kernel/btf/vmlinux tells them: where a member is in a structure differs from kernel to
 * kernel. Any bytes are safe. https://docs.kernel.org/bpf/btf.html
 */
class Btf {
 public:
  enum class Kind : uint8_t {
    none = 0,
    integer = 1,
    pointer = 2,
    array = 3,
    structure = 4,
    sum = 5,  // A C union.
    enumeration = 6,
    type_name = 8,  // A C typedef.
    is_volatile = 9,
    is_const = 10,
    is_restrict = 11,
    function_type = 13,
    variable = 14,
    section = 15,
    declaration_tag = 17,
    type_tag = 18,
    enumeration_64 = 19,
  };

  /** `bytes` must outlive it. Of bytes that are no BTF, nothing is found. */
  explicit Btf(const Slice& bytes);

  /** Number of the type; none when there is no such type. */
  std::optional<uint32_t> find(Kind kind, std::string_view name) const;

  /** Bytes from the beginning of the structure to a member of it, or of structures in it: `__sk_common.skc_num`. */
  std::optional<uint32_t> offset(std::string_view structure, std::string_view path) const;

 private:
  struct Type {
    uint32_t name = 0;
    Kind kind = Kind::none;
    bool has_bitfields = false;
    uint32_t count = 0;
    /** Number of the type that it leads to, for those that do. */
    uint32_t of = 0;
    /** What follows in the section. */
    Slice rest{nullptr, 0};
  };
  struct Place {
    uint32_t bits, type;
  };

  Type type(uint32_t number) const;
  std::string_view name(uint32_t offset) const;
  std::optional<Place> member(uint32_t number, std::string_view name, int depth) const;

  Slice types_{nullptr, 0}, names_{nullptr, 0};
  /** Where each begins; number 0 is void. */
  std::vector<uint32_t> begins_{0};
};

}  // namespace proclabel
