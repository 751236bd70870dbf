// SPDX-License-Identifier: MIT
#include "net/frame_filter.h"

#include <cstring>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

namespace tapferry {
namespace {

// What classic BPF returns is unsigned; cls_bpf reads it as an int (cls_bpf_exec_opcode()).
constexpr uint32_t kPass = static_cast<uint32_t>(TC_ACT_UNSPEC);
constexpr uint32_t kDrop = TC_ACT_SHOT;
constexpr uint32_t kTypeOffset = 2 * ETH_ALEN;
constexpr uint32_t kVlanTagPresent = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT);
constexpr uint32_t kVlanTpid = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TPID);

constexpr uint16_t kJumpIfEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr uint16_t kReturn = BPF_RET | BPF_K;

sock_filter load(uint16_t size, uint32_t offset) {
  return {static_cast<uint16_t>(BPF_LD | size | BPF_ABS), 0, 0, offset};
}

bool is_equal(const sock_filter& a, const sock_filter& b) { return memcmp(&a, &b, sizeof a) == 0; }

class Writer {
 public:
  void add(sock_filter instruction) { program_.push_back(instruction); }
  void finish(uint32_t verdict) { add({kReturn, 0, 0, verdict}); }
  // What was loaded last must be `value`, or the frame is dropped.
  void require(uint32_t value) {
    add({kJumpIfEqual, 1, 0, value});
    finish(kDrop);
  }
  // If it is, the frame passes. A verdict for each keeps every jump within its eight bits, however long the list is.
  void accept(uint32_t value) {
    add({kJumpIfEqual, 0, 1, value});
    finish(kPass);
  }
  std::vector<sock_filter> take() { return std::move(program_); }

 private:
  std::vector<sock_filter> program_;
};

void require_source(Writer& writer, const Mac& mac) {
  const auto& b = mac.bytes;
  writer.add(load(BPF_W, ETH_ALEN));
  writer.require(static_cast<uint32_t>(b[0]) << 24 | static_cast<uint32_t>(b[1]) << 16 |
                 static_cast<uint32_t>(b[2]) << 8 | b[3]);
  writer.add(load(BPF_H, ETH_ALEN + 4));
  writer.require(static_cast<uint32_t>(b[4]) << 8 | b[5]);
}

// A length in place of the type is below 0x600 and so equals none of them.
void require_ethertype(Writer& writer, const std::vector<uint16_t>& ethertypes) {
  writer.add(load(BPF_W, kVlanTagPresent));
  writer.add({kJumpIfEqual, 2, 0, 0});
  writer.add(load(BPF_W, kVlanTpid));
  writer.add({BPF_JMP | BPF_JA, 0, 0, 1});
  writer.add(load(BPF_H, kTypeOffset));
  for (const uint16_t ethertype : ethertypes) writer.accept(ethertype);
  writer.finish(kDrop);
}

// The constant of the comparison at `at`; 0 behind the end, so that what is rebuilt from it isn't the program.
uint32_t constant(std::span<const sock_filter> program, size_t at) { return at < program.size() ? program[at].k : 0; }

}  // namespace

std::vector<sock_filter> frame_program(const FrameRules& rules) {
  Writer writer;
  if (rules.only_source) require_source(writer, *rules.only_source);
  if (rules.ethertypes) {
    require_ethertype(writer, *rules.ethertypes);
  } else {
    writer.finish(kPass);
  }
  return writer.take();
}

std::optional<FrameRules> read_frame_program(std::span<const sock_filter> program) {
  constexpr size_t kSourceLength = 6, kTypeLength = 5;
  FrameRules rules;
  size_t at = 0;
  if (!program.empty() && is_equal(program[0], load(BPF_W, ETH_ALEN))) {
    const uint32_t high = constant(program, 1), low = constant(program, 4);
    rules.only_source =
        Mac{{static_cast<uint8_t>(high >> 24), static_cast<uint8_t>(high >> 16), static_cast<uint8_t>(high >> 8),
             static_cast<uint8_t>(high), static_cast<uint8_t>(low >> 8), static_cast<uint8_t>(low)}};
    at = kSourceLength;
  }
  if (at < program.size() && is_equal(program[at], load(BPF_W, kVlanTagPresent))) {
    rules.ethertypes.emplace();
    for (at += kTypeLength; at + 1 < program.size(); at += 2) {
      rules.ethertypes->push_back(static_cast<uint16_t>(program[at].k));
    }
  }
  // Whatever was misread above makes another program.
  const std::vector<sock_filter> again = frame_program(rules);
  if (again.size() != program.size()) return std::nullopt;
  if (memcmp(again.data(), program.data(), program.size_bytes()) != 0) return std::nullopt;
  return rules;
}

std::vector<uint16_t> ethertypes_for(bool has_ipv4, bool has_ipv6) {
  std::vector<uint16_t> ethertypes;
  if (has_ipv4) ethertypes = {ETH_P_IP, ETH_P_ARP};
  if (has_ipv6) ethertypes.push_back(ETH_P_IPV6);
  return ethertypes;
}

}  // namespace tapferry
