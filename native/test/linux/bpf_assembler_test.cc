#include "linux/bpf/assembler.hh"

#include <cstring>
#include <iterator>

#include "test.hh"

using proclabel::BpfAssembler;
using enum proclabel::Register;
using enum proclabel::Width;

namespace {

/** As RFC 9669 writes an instruction in memory, on a little-endian machine. */
uint64_t word(const bpf_insn& instruction) {
  uint64_t value;
  static_assert(sizeof value == sizeof instruction);
  memcpy(&value, &instruction, sizeof value);
  return value;
}

}  // namespace

TEST("instructions are those of RFC 9669") {
  BpfAssembler assembler;
  assembler.move(r6, r1);
  assembler.load(four, r2, r6, 16);
  assembler.store(one, r10, -8, 7);
  assembler.store(eight, r10, -16, r2);
  assembler.load_map(r1, 5);
  assembler.call(BPF_FUNC_ktime_get_ns);
  assembler.exit();
  const auto program = std::move(assembler).finish();
  const uint64_t expected[] = {0x00000000'0000'16bf, 0x00000000'0010'6261, 0x00000007'fff8'0a72, 0x00000000'fff0'2a7b,
                               0x00000005'0000'1118, 0,                    0x00000005'0000'0085, 0x00000000'0000'0095};
  CHECK_EQUAL(program.size(), std::size(expected));
  for (size_t i = 0; i < program.size(); i++) CHECK_EQUAL(word(program[i]), expected[i]);
}

TEST("all jumps to a label lead to the instruction before which it is placed") {
  BpfAssembler assembler;
  BpfAssembler::Label end;
  assembler.jump_if_equal(r1, 1, end);
  assembler.jump_if_equal(r1, 2, end);
  assembler.move(r0, 9);
  assembler.place(end);
  assembler.exit();
  const auto program = std::move(assembler).finish();
  CHECK_EQUAL(program[0].off, 2);
  CHECK_EQUAL(program[1].off, 1);
}
