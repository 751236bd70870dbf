// SPDX-License-Identifier: MIT
//
// The rules for TCP and UDP. One test for each rule, on both of its sides.
#include "vhost/merge_rules.h"

#include "tests/unit/merge_rules_case.h"

namespace tapferry {
namespace {

class Tcp : public testing::TestWithParam<FlowFrame> {};
INSTANTIATE_TEST_SUITE_P(MergeRules, Tcp, testing::Values(kTcp4, kTcp6),
                         [](const auto& param) { return param.param.is_v6 ? "6" : "4"; });

TEST_P(Tcp, OnlyAckAndPushAreMerged) {
  FlowFrame asked = GetParam();
  for (unsigned flags = 0; flags < 256; ++flags) {
    asked.flags = static_cast<uint8_t>(flags);
    EXPECT_EQ(alone(flow_frame(asked)), flags == 0x10 || flags == 0x18 ? Refusal::kNone : Refusal::kTcpFlags) << flags;
  }
  Bytes frame = flow_frame(GetParam());
  const size_t at = kIp + (GetParam().is_v6 ? 40 : 20) + 12;
  frame[at] |= 1;
  EXPECT_EQ(alone(frame), Refusal::kTcpFlags) << "accurate ECN's";
}

TEST_P(Tcp, PushEndsARun) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.flags = 0x18; }), Refusal::kNone);
  FlowFrame first = GetParam();
  first.flags = 0x18;
  EXPECT_EQ(after(first, [](FlowFrame& next) { next.flags = 0x10; }), Refusal::kRunEnded);
  EXPECT_EQ(after(first, kNoChange), Refusal::kRunEnded);
  std::vector<Bytes> frames = test::flow(GetParam(), 3);
  FlowFrame second = GetParam();
  second.flags = 0x18;
  second.sequence += 64;
  second.id += 1;
  frames[1] = flow_frame(second);
  EXPECT_EQ(after(frames), Refusal::kRunEnded);
}

TEST_P(Tcp, SequenceNumbersMustGoOn) {
  for (const int off : {-1, 1, -64, 64}) {
    EXPECT_EQ(after(GetParam(), [=](FlowFrame& next) { next.sequence += static_cast<uint32_t>(off); }),
              Refusal::kSequence);
  }
  FlowFrame first = GetParam();
  first.sequence = 0xffffffe0;
  EXPECT_EQ(after(first, kNoChange), Refusal::kNone) << "they wrap";
}

TEST_P(Tcp, AckWindowAndUrgentPointerMustBeTheSame) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.ack += 1; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.window += 1; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.urgent = 1; }), Refusal::kOtherHeaders);
}

TEST_P(Tcp, OptionsMustBeTheSameByteForByte) {
  FlowFrame first = GetParam();
  first.options = {1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6};
  EXPECT_EQ(after(first, kNoChange), Refusal::kNone);
  for (size_t at = 0; at < first.options.size(); ++at) {
    EXPECT_EQ(after(first, [=](FlowFrame& next) { next.options[at] ^= 0x10; }), Refusal::kOtherHeaders) << at;
  }
  EXPECT_EQ(after(first, [](FlowFrame& next) { next.options.resize(8); }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(first, [](FlowFrame& next) { next.options.resize(40); }), Refusal::kOtherHeaders);
  first.options.resize(40, 1);
  EXPECT_EQ(after(first, kNoChange), Refusal::kNone);
}

TEST_P(Tcp, HeaderLengthMustMakeSense) {
  const Bytes frame = flow_frame(GetParam());
  const size_t at = kIp + (GetParam().is_v6 ? 40 : 20) + 12;
  EXPECT_EQ(alone(patched(frame, at, 0x40)), Refusal::kTooShort);
  FlowFrame little = GetParam();
  little.data_bytes = 3;
  EXPECT_EQ(alone(patched(flow_frame(little), at, 0x60)), Refusal::kTooShort) << "longer than the frame";
  little.data_bytes = 4;
  EXPECT_EQ(alone(patched(flow_frame(little), at, 0x60)), Refusal::kNoData);
}

TEST_P(Tcp, ChecksumWrittenAsTheOtherZeroIsLeftAlone) {
  // A window that makes the sum 0xffff.
  FlowFrame asked = GetParam();
  asked.window = 0;
  const size_t field = kIp + (asked.is_v6 ? 40 : 20) + 16;
  asked.window = test::get16(flow_frame(asked), field);
  Bytes frame = flow_frame(asked);
  ASSERT_EQ(test::get16(frame, field), 0u);
  EXPECT_EQ(alone(frame), Refusal::kNone);
  put16(frame, field, 0xffff);
  EXPECT_EQ(alone(frame), Refusal::kChecksum);
}

class Udp : public testing::TestWithParam<FlowFrame> {};
INSTANTIATE_TEST_SUITE_P(MergeRules, Udp, testing::Values(kUdp4, kUdp6),
                         [](const auto& param) { return param.param.is_v6 ? "6" : "4"; });

TEST_P(Udp, LengthMustBeTheFrames) {
  const Bytes frame = flow_frame(GetParam());
  const size_t at = kIp + (GetParam().is_v6 ? 40 : 20) + 5;
  EXPECT_EQ(alone(patched(frame, at, frame[at] - 1)), Refusal::kUdpLength);
  EXPECT_EQ(alone(patched(frame, at, frame[at] + 1)), Refusal::kUdpLength);
}

TEST_P(Udp, DatagramWithoutChecksumIsLeftAlone) {
  Bytes frame = flow_frame(GetParam());
  put16(frame, kIp + (GetParam().is_v6 ? 40 : 20) + 6, 0);
  EXPECT_EQ(alone(frame), Refusal::kChecksum);
}

TEST_P(Udp, AtMost64Datagrams) {
  FlowFrame asked = GetParam();
  asked.data_bytes = 8;
  EXPECT_EQ(after(test::flow(asked, 64)), Refusal::kNone);
  EXPECT_EQ(after(test::flow(asked, 65)), Refusal::kTooMuch);
}

}  // namespace
}  // namespace tapferry
