#include "linux/bpf/btf.hh"

#include <algorithm>

namespace proclabel {
namespace {

constexpr uint16_t magic = 0xEB9F;
/** struct btf_type, struct btf_member. */
constexpr size_t type_size = 12, member_size = 12;
/** Structures in structures; more are not followed. */
constexpr int max_depth = 16;

/** Bytes that follow a type's own, as include/uapi/linux/btf.h has them. */
size_t rest_size(Btf::Kind kind, size_t count) {
  switch (kind) {
    case Btf::Kind::integer:
    case Btf::Kind::variable:
    case Btf::Kind::declaration_tag: return 4;
    case Btf::Kind::array: return 12;
    case Btf::Kind::structure:
    case Btf::Kind::sum: return count * member_size;
    case Btf::Kind::enumeration:
    case Btf::Kind::function_type: return count * 8;
    case Btf::Kind::section:
    case Btf::Kind::enumeration_64: return count * 12;
    default: return 0;
  }
}

bool is_only_another_name(Btf::Kind kind) {
  return kind == Btf::Kind::type_name || kind == Btf::Kind::is_volatile || kind == Btf::Kind::is_const ||
         kind == Btf::Kind::is_restrict || kind == Btf::Kind::type_tag;
}

}  // namespace

Btf::Btf(const Slice& bytes) {
  const auto header_size = bytes.read<uint32_t>(4), type_begin = bytes.read<uint32_t>(8), type_length = bytes.read<uint32_t>(12);
  const auto name_begin = bytes.read<uint32_t>(16), name_length = bytes.read<uint32_t>(20);
  if (bytes.read<uint16_t>(0) != magic || !name_length) return;
  types_ = bytes.part(size_t{*header_size} + *type_begin, *type_length);
  names_ = bytes.part(size_t{*header_size} + *name_begin, *name_length);
  begins_.reserve(types_.size() / type_size);
  for (size_t at = 0; types_.size() - at >= type_size;) {
    begins_.push_back(static_cast<uint32_t>(at));
    const Type one = type(static_cast<uint32_t>(begins_.size() - 1));
    const size_t size = type_size + rest_size(one.kind, one.count);
    if (types_.size() - at < size) break;
    at += size;
  }
}

std::optional<uint32_t> Btf::find(Kind kind, std::string_view name) const {
  for (uint32_t number = 1; number < begins_.size(); number++) {
    const Type one = type(number);
    if (one.kind == kind && this->name(one.name) == name) return number;
  }
  return std::nullopt;
}

std::optional<uint32_t> Btf::offset(std::string_view structure, std::string_view path) const {
  auto number = find(Kind::structure, structure);
  uint32_t bits = 0;
  while (number && !path.empty()) {
    const std::string_view step = path.substr(0, path.find('.'));
    path.remove_prefix(std::min(step.size() + 1, path.size()));
    const auto place = member(*number, step, 0);
    if (!place) return std::nullopt;
    bits += place->bits;
    number = place->type;
  }
  return number ? std::optional(bits / 8) : std::nullopt;
}

Btf::Type Btf::type(uint32_t number) const {
  if (number == 0 || number >= begins_.size()) return {};
  const size_t at = begins_[number];
  const auto name_offset = types_.read<uint32_t>(at), info = types_.read<uint32_t>(at + 4), of = types_.read<uint32_t>(at + 8);
  if (!name_offset || !info || !of) return {};
  return {.name = *name_offset,
          .kind = static_cast<Kind>(*info >> 24 & 0x1f),
          .has_bitfields = *info >> 31 != 0,
          .count = *info & 0xffff,
          .of = *of,
          .rest = types_.part(at + type_size)};
}

std::string_view Btf::name(uint32_t offset) const {
  const auto rest = names_.part(offset).bytes();
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
  return text.substr(0, text.find('\0'));
}

/** A member by its name, also within members that have none. */
std::optional<Btf::Place> Btf::member(uint32_t number, std::string_view wanted, int depth) const {
  Type whole = type(number);
  for (int i = 0; i < max_depth && is_only_another_name(whole.kind); i++) whole = type(whole.of);
  if ((whole.kind != Kind::structure && whole.kind != Kind::sum) || depth > max_depth) return std::nullopt;
  for (uint32_t i = 0; i < whole.count; i++) {
    const auto name_offset = whole.rest.read<uint32_t>(i * member_size), of = whole.rest.read<uint32_t>(i * member_size + 4);
    const auto place = whole.rest.read<uint32_t>(i * member_size + 8);
    if (!name_offset || !of || !place) break;
    const uint32_t bits = whole.has_bitfields ? *place & 0xffffff : *place;
    const std::string_view name_here = name(*name_offset);
    if (name_here == wanted) return Place{bits, *of};
    if (!name_here.empty()) continue;
    if (const auto inner = member(*of, wanted, depth + 1)) return Place{bits + inner->bits, inner->type};
  }
  return std::nullopt;
}

}  // namespace proclabel
