// SPDX-License-Identifier: MIT
//
// What the tests of the merge rules share: what the rules say of a frame by itself and of one behind others.
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <vector>

#include "tests/lib/flow_frames.h"
#include "vhost/merge_rules.h"

namespace tapferry {

using test::Bytes;
using test::flow_frame;
using test::FlowFrame;
using test::put16;

inline constexpr size_t kVnet = 12;
inline constexpr size_t kIp = kVnet + 14;

inline const FlowFrame kTcp4{};
inline const FlowFrame kTcp6{.is_v6 = true};
inline const FlowFrame kUdp4{.is_udp = true};
inline const FlowFrame kUdp6{.is_v6 = true, .is_udp = true};

inline Refusal read(Bytes bytes, Segment* segment) {
  const size_t frame_bytes = bytes.size() - kVnet;
  bytes.resize(std::max(bytes.size(), kVnet + kHeaderRoom));
  return read_segment(bytes.data(), bytes.data() + kVnet, std::min<size_t>(frame_bytes, kMaxHeaderBytes), frame_bytes,
                      segment);
}

// What the rules say of a frame by itself.
inline Refusal alone(const Bytes& bytes) {
  Segment segment;
  const Refusal refusal = read(bytes, &segment);
  if (refusal != Refusal::kNone) return refusal;
  Bytes frame(bytes.begin() + kVnet, bytes.end());
  const MergeRun run(segment, frame.data());
  return run.has_right_checksum(frame.data(), segment, frame.data() + segment.header_bytes) ? Refusal::kNone
                                                                                            : Refusal::kChecksum;
}

inline Refusal judge(const MergeRun& run, Bytes bytes, Segment* segment) {
  const size_t frame_bytes = bytes.size() - kVnet;
  bytes.resize(std::max(bytes.size(), kVnet + kHeaderRoom));
  return run.judge(bytes.data(), bytes.data() + kVnet, std::min<size_t>(frame_bytes, kMaxHeaderBytes), frame_bytes,
                   segment);
}

// And of frames one behind the other: of the last of them.
inline Refusal after(std::vector<Bytes> frames) {
  Segment segment;
  EXPECT_EQ(read(frames[0], &segment), Refusal::kNone);
  frames[0].resize(std::max(frames[0].size(), kVnet + kHeaderRoom));
  MergeRun run(segment, frames[0].data() + kVnet);
  Refusal refusal = Refusal::kNone;
  for (size_t i = 1; i < frames.size(); ++i) {
    EXPECT_EQ(refusal, Refusal::kNone) << "before the last";
    refusal = judge(run, frames[i], &segment);
    if (refusal == Refusal::kNone) run.take(segment);
  }
  return refusal;
}

using Change = std::function<void(FlowFrame&)>;

// Behind `first`, the frame that follows, changed.
inline Refusal after(const FlowFrame& first, const Change& change) {
  FlowFrame next = first;
  next.sequence += first.data_bytes;
  ++next.id;
  change(next);
  return after({flow_frame(first), flow_frame(next)});
}

inline Bytes patched(Bytes bytes, size_t at, uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}

// With the IPv4 header's checksum made right again.
inline Bytes patched_ip4(Bytes bytes, size_t at, uint8_t value) {
  bytes.at(at) = value;
  put16(bytes, kIp + 10, 0);
  put16(bytes, kIp + 10, 0xffff - test::slow_sum(std::span(bytes).subspan(kIp, 20)));
  return bytes;
}

// Of tests with parameters: the frame that simply follows.
inline const Change kNoChange = [](FlowFrame&) {};

}  // namespace tapferry
