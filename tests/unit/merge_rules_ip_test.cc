// SPDX-License-Identifier: MIT
//
// The rules for IPv4 and IPv6. One test for each rule, on both of its sides.
#include "vhost/merge_rules.h"

#include <optional>

#include "tests/unit/merge_rules_case.h"

namespace tapferry {
namespace {

class Ip4 : public testing::TestWithParam<FlowFrame> {};
INSTANTIATE_TEST_SUITE_P(MergeRules, Ip4, testing::Values(kTcp4, kUdp4),
                         [](const auto& param) { return param.param.is_udp ? "Udp" : "Tcp"; });

TEST_P(Ip4, OptionsAreLeftAlone) {
  EXPECT_EQ(alone(patched_ip4(flow_frame(GetParam()), kIp, 0x46)), Refusal::kIpHeader);
}

TEST_P(Ip4, WrongHeaderChecksumIsLeftAlone) {
  const Bytes frame = flow_frame(GetParam());
  EXPECT_EQ(alone(patched(frame, kIp + 8, 63)), Refusal::kIpChecksum);
  EXPECT_EQ(alone(patched(frame, kIp + 10, static_cast<uint8_t>(frame[kIp + 10] ^ 1))), Refusal::kIpChecksum);
}

TEST_P(Ip4, HeaderChecksumWrittenAsTheOtherZeroIsLeftAlone) {
  // An ID that makes the sum 0xffff.
  FlowFrame asked = GetParam();
  asked.id = 0;
  const Bytes without = flow_frame(asked);
  asked.id = test::get16(without, kIp + 10);
  Bytes frame = flow_frame(asked);
  ASSERT_EQ(test::get16(frame, kIp + 10), 0u);
  EXPECT_EQ(alone(frame), Refusal::kNone);
  put16(frame, kIp + 10, 0xffff);
  EXPECT_EQ(alone(frame), Refusal::kIpChecksum);
}

TEST_P(Ip4, FragmentsAreLeftAlone) {
  FlowFrame asked = GetParam();
  for (const unsigned word : {0x2000u, 0x6000u, 0x0001u, 0x1fffu, 0x8000u}) {
    asked.fragment = word;
    EXPECT_EQ(alone(flow_frame(asked)), Refusal::kFragment) << word;
  }
  asked.fragment = 0;
  EXPECT_EQ(alone(flow_frame(asked)), Refusal::kNone);
}

TEST_P(Ip4, DontFragmentMustBeTheSame) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.fragment = 0; }), Refusal::kOtherHeaders);
}

// IDs of three frames, and what is said of the last.
Refusal after_ids(FlowFrame frame, unsigned first, unsigned second, std::optional<unsigned> third = {}) {
  std::vector<Bytes> frames;
  for (const std::optional<unsigned> id : {std::optional(first), std::optional(second), third}) {
    if (!id) continue;
    frame.id = *id;
    frames.push_back(flow_frame(frame));
    frame.sequence += frame.data_bytes;
  }
  return after(frames);
}

TEST_P(Ip4, IdsCountUpByOne) {
  for (const unsigned fragment : {0u, 0x4000u}) {
    FlowFrame frame = GetParam();
    frame.fragment = fragment;
    EXPECT_EQ(after_ids(frame, 5, 6, 7), Refusal::kNone);
    EXPECT_EQ(after_ids(frame, 0xfffe, 0xffff, 0), Refusal::kNone) << "they wrap";
    EXPECT_EQ(after_ids(frame, 5, 7), Refusal::kIpId);
    EXPECT_EQ(after_ids(frame, 5, 4), Refusal::kIpId);
    EXPECT_EQ(after_ids(frame, 5, 6, 8), Refusal::kIpId);
    EXPECT_EQ(after_ids(frame, 5, 6, 6), Refusal::kIpId);
    EXPECT_EQ(after_ids(frame, 5, 6, 5), Refusal::kIpId);
  }
}

TEST_P(Ip4, IdsMayStayTheSameWithDontFragmentOnly) {
  FlowFrame frame = GetParam();
  EXPECT_EQ(after_ids(frame, 0, 0, 0), Refusal::kNone);
  EXPECT_EQ(after_ids(frame, 9, 9, 10), Refusal::kIpId);
  EXPECT_EQ(after_ids(frame, 9, 9, 11), Refusal::kIpId);
  frame.fragment = 0;
  EXPECT_EQ(after_ids(frame, 0, 0), Refusal::kIpId);
}

TEST(MergeRulesIp6, FlowLabelMustBeTheSame) {
  Bytes next = test::flow(kTcp6, 2)[1];
  next[kIp + 3] = 1;
  EXPECT_EQ(after({flow_frame(kTcp6), next}), Refusal::kOtherHeaders);
}

}  // namespace
}  // namespace tapferry
