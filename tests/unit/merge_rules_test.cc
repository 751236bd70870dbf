// SPDX-License-Identifier: MIT
//
// The rules for both transports over both IPs. One test for each rule, on both of its sides.
#include "vhost/merge_rules.h"

#include <string>

#include "tests/unit/merge_rules_case.h"

namespace tapferry {
namespace {

class AnyKind : public testing::TestWithParam<FlowFrame> {};
INSTANTIATE_TEST_SUITE_P(MergeRules, AnyKind, testing::Values(kTcp4, kTcp6, kUdp4, kUdp6), [](const auto& param) {
  return std::string(param.param.is_udp ? "Udp" : "Tcp") + (param.param.is_v6 ? "6" : "4");
});

TEST_P(AnyKind, FrameIsReadForWhatItIs) {
  FlowFrame asked = GetParam();
  asked.data_bytes = 33;
  Segment segment;
  ASSERT_EQ(read(flow_frame(asked), &segment), Refusal::kNone);
  EXPECT_EQ(segment.gso, asked.is_udp ? kGsoUdp : asked.is_v6 ? kGsoTcp6 : kGsoTcp4);
  EXPECT_EQ(segment.transport_offset, asked.is_v6 ? 54 : 34);
  EXPECT_EQ(segment.header_bytes, segment.transport_offset + (asked.is_udp ? 8 : 20));
  EXPECT_EQ(segment.data_bytes, 33);
  EXPECT_EQ(segment.is_v4, !asked.is_v6);
  EXPECT_FALSE(segment.needs_checksum);
}

TEST_P(AnyKind, FramesThatFollowEachOtherMerge) {
  EXPECT_EQ(alone(flow_frame(GetParam())), Refusal::kNone);
  EXPECT_EQ(after(GetParam(), kNoChange), Refusal::kNone);
}

TEST_P(AnyKind, GsoFrameIsLeftAlone) {
  const Bytes frame = flow_frame(GetParam());
  for (const uint8_t type : {1, 3, 4, 5, 0x81}) EXPECT_EQ(alone(patched(frame, 1, type)), Refusal::kVnetHeader);
  EXPECT_EQ(alone(patched(frame, 0, 2)), Refusal::kVnetHeader) << "DATA_VALID, which no guest sets";
}

TEST_P(AnyKind, ShortFrameIsLeftAlone) {
  const Bytes whole = flow_frame(GetParam());
  Segment segment;
  ASSERT_EQ(read(whole, &segment), Refusal::kNone);
  for (size_t bytes = kVnet; bytes < whole.size(); ++bytes) {
    EXPECT_NE(alone(Bytes(whole.begin(), whole.begin() + static_cast<long>(bytes))), Refusal::kNone) << bytes;
  }
  for (size_t available = 0; available < segment.header_bytes; ++available) {
    EXPECT_EQ(read_segment(whole.data(), whole.data() + kVnet, available, whole.size() - kVnet, &segment),
              Refusal::kTooShort);
  }
  EXPECT_EQ(read_segment(whole.data(), whole.data() + kVnet, segment.header_bytes, whole.size() - kVnet, &segment),
            Refusal::kNone);
}

TEST_P(AnyKind, FrameMustEndWhereIpDoes) {
  Bytes padded = flow_frame(GetParam());
  padded.push_back(0);
  EXPECT_EQ(alone(padded), Refusal::kIpLength);
}

TEST_P(AnyKind, OtherEtherTypesAreLeftAlone) {
  const Bytes frame = flow_frame(GetParam());
  EXPECT_EQ(alone(patched(frame, kVnet + 12, 0x81)), Refusal::kNotIp) << "VLAN";
  EXPECT_EQ(alone(patched(frame, kVnet + 13, 0x06)), Refusal::kNotIp) << "ARP, and IPv6's is none";
}

TEST_P(AnyKind, IpVersionMustBeTheEtherTypes) {
  const uint8_t other = GetParam().is_v6 ? 0x45 : 0x60;
  EXPECT_EQ(alone(patched(flow_frame(GetParam()), kIp, other)), Refusal::kIpHeader);
}

TEST_P(AnyKind, OtherProtocolsAreLeftAlone) {
  const Bytes frame = flow_frame(GetParam());
  const size_t at = kIp + (GetParam().is_v6 ? 6 : 9);
  for (const uint8_t protocol : {0, 1, 44, 58, 132}) {
    const Bytes other = GetParam().is_v6 ? patched(frame, at, protocol) : patched_ip4(frame, at, protocol);
    EXPECT_EQ(alone(other), Refusal::kProtocol);
  }
}

TEST_P(AnyKind, FrameWithoutDataIsLeftAlone) {
  FlowFrame asked = GetParam();
  asked.data_bytes = 0;
  EXPECT_EQ(alone(flow_frame(asked)), Refusal::kNoData);
  asked.data_bytes = 1;
  EXPECT_EQ(alone(flow_frame(asked)), Refusal::kNone);
}

TEST_P(AnyKind, WrongTransportChecksumIsLeftAlone) {
  const Bytes frame = flow_frame(GetParam());
  Segment segment;
  ASSERT_EQ(read(frame, &segment), Refusal::kNone);
  for (const size_t at : {frame.size() - 1, kVnet + segment.header_bytes, kVnet + segment.transport_offset}) {
    EXPECT_EQ(alone(patched(frame, at, static_cast<uint8_t>(frame[at] ^ 0x20))), Refusal::kChecksum) << at;
  }
  const size_t address = kIp + (GetParam().is_v6 ? 8 : 12);
  const auto value = static_cast<uint8_t>(frame[address] ^ 1);
  EXPECT_EQ(alone(GetParam().is_v6 ? patched(frame, address, value) : patched_ip4(frame, address, value)),
            Refusal::kChecksum)
      << "addresses are part of it";
}

TEST_P(AnyKind, ChecksumLeftToTheReceiverMustBeTheHeadersOwn) {
  FlowFrame asked = GetParam();
  asked.needs_checksum = true;
  const Bytes frame = flow_frame(asked);
  EXPECT_EQ(alone(frame), Refusal::kNone);
  EXPECT_EQ(alone(patched(frame, 6, frame[6] + 2)), Refusal::kChecksumPlace);
  EXPECT_EQ(alone(patched(frame, 7, 1)), Refusal::kChecksumPlace);
  EXPECT_EQ(alone(patched(frame, 8, asked.is_udp ? 16 : 6)), Refusal::kChecksumPlace);
  const size_t field = kVnet + frame[6] + frame[8];
  EXPECT_EQ(alone(patched(frame, field, static_cast<uint8_t>(frame[field] ^ 1))), Refusal::kChecksum)
      << "of another pseudo header: the receiver would have dropped it";
}

TEST_P(AnyKind, MarkedAndUnmarkedChecksumsMerge) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.needs_checksum = true; }), Refusal::kNone);
}

TEST_P(AnyKind, AnotherFlowDoesNotMerge) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.mac = 2; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.source = 2; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.port = 40001; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.is_udp = !next.is_udp; }), Refusal::kOtherHeaders);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.is_v6 = !next.is_v6; }), Refusal::kOtherHeaders);
}

TEST_P(AnyKind, TosAndTtlMustBeTheSame) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.tos = 1; }), Refusal::kOtherHeaders) << "ECN too";
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.ttl = 63; }), Refusal::kOtherHeaders);
}

TEST_P(AnyKind, LongerDataDoesNotMergeAndShorterIsTheLast) {
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.data_bytes = 65; }), Refusal::kLonger);
  EXPECT_EQ(after(GetParam(), [](FlowFrame& next) { next.data_bytes = 63; }), Refusal::kNone);
  std::vector<Bytes> frames = test::flow(GetParam(), 3);
  EXPECT_EQ(after(frames), Refusal::kNone);
  FlowFrame second = GetParam();
  second.sequence += 64;
  second.id += 1;
  second.data_bytes = 63;
  FlowFrame third = second;
  third.sequence += 63;
  third.id += 1;
  EXPECT_EQ(after({frames[0], flow_frame(second), flow_frame(third)}), Refusal::kRunEnded);
}

TEST_P(AnyKind, MergedFrameStaysBelowTheLegacyLimit) {
  // Headers and n frames of `data` are 65535 bytes or less.
  FlowFrame asked = GetParam();
  asked.data_bytes = 16000;
  const unsigned headers = (asked.is_v6 ? 54 : 34) + (asked.is_udp ? 8 : 20);
  const auto frames = [&](unsigned last_bytes) {
    std::vector<Bytes> all = test::flow(asked, 4);
    FlowFrame last = asked;
    last.sequence += 4 * 16000;
    last.id += 4;
    last.data_bytes = last_bytes;
    all.push_back(flow_frame(last));
    return all;
  };
  EXPECT_EQ(after(frames(65535 - headers - 4 * 16000)), Refusal::kNone);
  EXPECT_EQ(after(frames(65535 - headers - 4 * 16000 + 1)), Refusal::kTooMuch);
}

TEST_P(AnyKind, MergedFrameIsCutIntoWhatWentIn) {
  const std::vector<Bytes> frames = test::flow(GetParam(), 5);
  Segment segment;
  ASSERT_EQ(read(frames[0], &segment), Refusal::kNone);
  Bytes whole = frames[0];
  whole.reserve(5 * whole.size());
  MergeRun run(segment, whole.data() + kVnet);
  for (size_t i = 1; i < frames.size(); ++i) {
    ASSERT_EQ(judge(run, frames[i], &segment), Refusal::kNone);
    whole.insert(whole.end(), frames[i].end() - segment.data_bytes, frames[i].end());
    run.take(segment);
  }
  EXPECT_EQ(run.frames(), 5u);
  EXPECT_EQ(run.frame_bytes(), whole.size() - kVnet);
  run.finish(whole.data());
  const std::vector<Bytes> received = test::receive(whole);
  ASSERT_EQ(received.size(), frames.size());
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(received[i], test::receive(frames[i])[0]) << i;
}

}  // namespace
}  // namespace tapferry
