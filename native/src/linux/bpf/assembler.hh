#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace proclabel {

/**
 * r0 has what a call returned, r1 to r5 what it is given, and lose it to the call; r6 to r9 keep it; r10 is the end of the
 * stack.
 */
enum class Register : uint8_t { r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 };

/** How many bytes are moved. */
enum class Width : uint8_t { one = BPF_B, two = BPF_H, four = BPF_W, eight = BPF_DW };

/**
 * Writes a program for the kernel's virtual machine, an instruction a call.
 * https://docs.kernel.org/bpf/standardization/instruction-set.html (RFC 9669)
 */
class BpfAssembler {
 public:
  /** A place to jump to, forward only. */
  struct Label {
    std::vector<size_t> jumps;
  };

  void load(Width width, Register to, Register from, int16_t offset) { put(BPF_LDX | BPF_MEM | code(width), to, from, offset, 0); }
  void store(Width width, Register to, int16_t offset, Register from) { put(BPF_STX | BPF_MEM | code(width), to, from, offset, 0); }
  void store(Width width, Register to, int16_t offset, int32_t value) {
    put(BPF_ST | BPF_MEM | code(width), to, Register::r0, offset, value);
  }
  void move(Register to, Register from) { put(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void move(Register to, int32_t value) { put(BPF_ALU64 | BPF_MOV | BPF_K, to, Register::r0, 0, value); }
  /** An int, of which a register's upper half says nothing. */
  void move_low(Register to, Register from) { put(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0); }
  void add(Register to, int32_t value) { put(BPF_ALU64 | BPF_ADD | BPF_K, to, Register::r0, 0, value); }
  void subtract(Register from, Register value) { put(BPF_ALU64 | BPF_SUB | BPF_X, from, value, 0, 0); }
  /** One more, whoever else counts there. */
  void add_atomically(Register to, int16_t offset, Register value) {
    put(BPF_STX | BPF_ATOMIC | BPF_DW, to, value, offset, BPF_ADD);
  }
  void load_map(Register to, int map) {
    put(BPF_LD | BPF_IMM | BPF_DW, to, static_cast<Register>(BPF_PSEUDO_MAP_FD), 0, map);
    put(0, Register::r0, Register::r0, 0, 0);
  }
  void call(bpf_func_id function) { put(BPF_JMP | BPF_CALL, Register::r0, Register::r0, 0, function); }
  void exit() { put(BPF_JMP | BPF_EXIT, Register::r0, Register::r0, 0, 0); }

  void jump(Label& to) { jump(BPF_JMP | BPF_JA, Register::r0, Register::r0, 0, to); }
  void jump_if_equal(Register a, int32_t b, Label& to) { jump(BPF_JMP | BPF_JEQ | BPF_K, a, Register::r0, b, to); }
  void jump_if_not_equal(Register a, int32_t b, Label& to) { jump(BPF_JMP | BPF_JNE | BPF_K, a, Register::r0, b, to); }
  void jump_if_not_equal(Register a, Register b, Label& to) { jump(BPF_JMP | BPF_JNE | BPF_X, a, b, 0, to); }
  void jump_if_less(Register a, int32_t b, Label& to) { jump(BPF_JMP | BPF_JLT | BPF_K, a, Register::r0, b, to); }
  void jump_if_greater(Register a, int32_t b, Label& to) { jump(BPF_JMP | BPF_JGT | BPF_K, a, Register::r0, b, to); }
  /** Of an int. */
  void jump_if_negative(Register a, Label& to) { jump(BPF_JMP32 | BPF_JSLT | BPF_K, a, Register::r0, 0, to); }

  /** All jumps to this label lead here. */
  void place(const Label& label) {
    for (const size_t jump : label.jumps) program_[jump].off = static_cast<int16_t>(program_.size() - jump - 1);
  }

  std::vector<bpf_insn> finish() && { return std::move(program_); }

 private:
  static uint8_t code(Width width) { return static_cast<uint8_t>(width); }

  void put(int operation, Register to, Register from, int16_t offset, int32_t value) {
    bpf_insn instruction{};
    instruction.code = static_cast<uint8_t>(operation);
    instruction.dst_reg = static_cast<uint8_t>(to) & 0xf;
    instruction.src_reg = static_cast<uint8_t>(from) & 0xf;
    instruction.off = offset;
    instruction.imm = value;
    program_.push_back(instruction);
  }

  void jump(int operation, Register a, Register b, int32_t value, Label& to) {
    to.jumps.push_back(program_.size());
    put(operation, a, b, 0, value);
  }

  std::vector<bpf_insn> program_;
};

}  // namespace proclabel
