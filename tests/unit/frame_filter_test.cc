// SPDX-License-Identifier: MIT
#include "net/frame_filter.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr Mac kGuest = {{0x52, 0x54, 0x00, 0x12, 0x34, 0xfe}};

// A frame as tc sees it: the outermost tag may be beside the bytes.
struct Frame {
  Mac source = kGuest;
  std::vector<uint16_t> types = {ETH_P_IP};  // EtherTypes from the outside in; each but the last is a tag in the bytes
  uint16_t tpid_beside = 0;

  std::string bytes() const {
    std::string text(6, '\xff');
    text.append(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size());
    for (size_t i = 0; i < types.size(); ++i) {
      text += static_cast<char>(types[i] >> 8);
      text += static_cast<char>(types[i]);
      if (i + 1 < types.size()) text += std::string("\x00\x05", 2);
    }
    return text + std::string(46, 'x');
  }
};

uint32_t load(const sock_filter& instruction, const Frame& frame) {
  if (instruction.k == static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)) return frame.tpid_beside != 0;
  if (instruction.k == static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TPID)) return frame.tpid_beside;
  const std::string bytes = frame.bytes();
  uint32_t value = 0;
  for (unsigned i = 0; i < (BPF_SIZE(instruction.code) == BPF_W ? 4 : 2); ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes.at(instruction.k + i));
  }
  return value;
}

// Classic BPF as far as these programs go (Documentation/networking/filter.rst).
uint32_t run(const std::vector<sock_filter>& program, const Frame& frame) {
  uint32_t a = 0;
  for (size_t at = 0;; ++at) {
    const sock_filter& instruction = program.at(at);
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
      case BPF_LD | BPF_H | BPF_ABS: a = load(instruction, frame); break;
      case BPF_JMP | BPF_JA: at += instruction.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: at += a == instruction.k ? instruction.jt : instruction.jf; break;
      case BPF_RET | BPF_K: return instruction.k;
      default: ADD_FAILURE() << "code " << instruction.code; return 0;
    }
  }
}

bool crosses(const FrameRules& rules, const Frame& frame) {
  const uint32_t verdict = run(frame_program(rules), frame);
  EXPECT_TRUE(verdict == TC_ACT_SHOT || verdict == static_cast<uint32_t>(TC_ACT_UNSPEC)) << verdict;
  return verdict != TC_ACT_SHOT;
}

FrameRules types(std::vector<uint16_t> ethertypes) { return {std::nullopt, std::move(ethertypes)}; }

TEST(FrameFilter, ListedEtherTypesCrossAndNoOthers) {
  const FrameRules rules = types({ETH_P_IP, ETH_P_ARP});
  EXPECT_TRUE(crosses(rules, {.types = {ETH_P_IP}}));
  EXPECT_TRUE(crosses(rules, {.types = {ETH_P_ARP}}));
  EXPECT_FALSE(crosses(rules, {.types = {ETH_P_IPV6}}));
  EXPECT_FALSE(crosses(rules, {.types = {0x0806 ^ 0x8000}}));
}

TEST(FrameFilter, LengthsInsteadOfTypesNeverCross) {
  const FrameRules rules = types({0x0600, ETH_P_IP});
  for (const uint16_t length : {0, 46, 0x05dc, 0x05ff}) EXPECT_FALSE(crosses(rules, {.types = {length}})) << length;
  EXPECT_TRUE(crosses(rules, {.types = {0x0600}}));
}

TEST(FrameFilter, NothingCrossesAnEmptyList) {
  for (const uint16_t type : {ETH_P_IP, ETH_P_ARP, ETH_P_8021Q, 0}) {
    EXPECT_FALSE(crosses(types({}), {.types = {type}}));
    EXPECT_FALSE(crosses(types({}), {.types = {type}, .tpid_beside = ETH_P_8021Q}));
  }
}

TEST(FrameFilter, TagCountsWhereverItIs) {
  const Frame in_bytes = {.types = {ETH_P_8021Q, ETH_P_IP}};
  const Frame beside = {.types = {ETH_P_IP}, .tpid_beside = ETH_P_8021Q};
  for (const Frame& frame : {in_bytes, beside}) {
    EXPECT_TRUE(crosses(types({ETH_P_8021Q}), frame));
    EXPECT_FALSE(crosses(types({ETH_P_IP}), frame));
    EXPECT_FALSE(crosses(types({ETH_P_8021AD}), frame));
  }
}

TEST(FrameFilter, OutermostTagCounts) {
  const Frame in_bytes = {.types = {ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP}};
  const Frame beside = {.types = {ETH_P_8021Q, ETH_P_IP}, .tpid_beside = ETH_P_8021AD};
  for (const Frame& frame : {in_bytes, beside}) {
    EXPECT_TRUE(crosses(types({ETH_P_8021AD}), frame));
    EXPECT_FALSE(crosses(types({ETH_P_8021Q}), frame));
  }
}

TEST(FrameFilter, OnlyTheOneSourceCrosses) {
  const FrameRules rules = {kGuest, std::nullopt};
  EXPECT_TRUE(crosses(rules, {}));
  for (size_t i = 0; i < 6; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Mac other = kGuest;
      other.bytes[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_FALSE(crosses(rules, {.source = other})) << to_string(other);
    }
  }
}

TEST(FrameFilter, SourceAndTypeMustBothBeRight) {
  const FrameRules rules = {kGuest, std::vector<uint16_t>{ETH_P_IP}};
  EXPECT_TRUE(crosses(rules, {}));
  EXPECT_FALSE(crosses(rules, {.types = {ETH_P_ARP}}));
  EXPECT_FALSE(crosses(rules, {.source = {{2}}}));
}

TEST(FrameFilter, WithoutRulesEverythingCrosses) {
  EXPECT_TRUE(crosses({}, {.source = {{1}}, .types = {0}}));
  EXPECT_TRUE(FrameRules().is_empty());
  EXPECT_FALSE(types({}).is_empty());
}

std::vector<uint16_t> as_many_as_a_policy_line_holds() {
  std::vector<uint16_t> many;
  for (unsigned i = 0; i < 4095 / 4; ++i) many.push_back(static_cast<uint16_t>(0x0600 + i));
  return many;
}

TEST(FrameFilter, IsReadBackAsItWasMade) {
  for (const FrameRules& rules : {FrameRules(), types({}), types({ETH_P_IP}), types(as_many_as_a_policy_line_holds()),
                                  FrameRules{kGuest, std::nullopt}, FrameRules{kGuest, std::vector<uint16_t>{}},
                                  FrameRules{kGuest, std::vector<uint16_t>{ETH_P_IPV6, ETH_P_ARP}}}) {
    EXPECT_EQ(read_frame_program(frame_program(rules)), rules);
  }
}

TEST(FrameFilter, AnotherProgramIsNotRead) {
  EXPECT_FALSE(read_frame_program({}));
  const std::vector<sock_filter> whole = frame_program({kGuest, std::vector<uint16_t>{ETH_P_IP}});
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(read_frame_program(std::span(whole).first(length))) << length;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<sock_filter> changed = whole;
    changed[i].code ^= BPF_H;
    EXPECT_FALSE(read_frame_program(changed)) << i;
  }
}

TEST(FrameFilter, TheKernelTakesTheLongestProgramAndRunsIt) {
  std::vector<sock_filter> program = frame_program({kGuest, as_many_as_a_policy_line_holds()});
  ASSERT_LE(program.size(), size_t{BPF_MAXINSNS});
  auto sockets = socket_pair(SOCK_DGRAM);
  ASSERT_TRUE(sockets.is_ok());
  const int receiver = sockets.value().first.get(), sender = sockets.value().second.get();
  const sock_fprog attached = {static_cast<unsigned short>(program.size()), program.data()};
  ASSERT_EQ(setsockopt(receiver, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached), 0) << strerror(errno);
  // There the verdict is how many bytes to keep: all of them, or TC_ACT_SHOT of them.
  char buffer[256];
  for (const uint16_t type : {0x0600, 0x0600 + 1022, 0x0600 + 1023}) {
    const std::string bytes = Frame{.types = {static_cast<uint16_t>(type)}}.bytes();
    ASSERT_EQ(write(sender, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    const ssize_t expected = type < 0x0600 + 1023 ? static_cast<ssize_t>(bytes.size()) : ssize_t{TC_ACT_SHOT};
    EXPECT_EQ(read(receiver, buffer, sizeof buffer), expected);
  }
}

TEST(FrameFilter, AddressFamiliesAndWhatTheyNeed) {
  EXPECT_EQ(ethertypes_for(false, false), std::vector<uint16_t>());
  EXPECT_EQ(ethertypes_for(true, false), (std::vector<uint16_t>{ETH_P_IP, ETH_P_ARP}));
  EXPECT_EQ(ethertypes_for(false, true), (std::vector<uint16_t>{ETH_P_IPV6}));
  EXPECT_EQ(ethertypes_for(true, true), (std::vector<uint16_t>{ETH_P_IP, ETH_P_ARP, ETH_P_IPV6}));
}

}  // namespace
}  // namespace tapferry
