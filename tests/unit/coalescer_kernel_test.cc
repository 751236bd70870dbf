// SPDX-License-Identifier: MIT
//
// The kernel's own word: what is merged and written to a tap comes out of another port of its bridge, whose reader takes no GSO, as the frames
// that went in.
#include "tests/unit/bridged_taps.h"
#include "tests/unit/coalescer_case.h"
#include "vhost/gso_probe.h"

namespace tapferry {
namespace {

using test::Bytes;
using test::flow;
using test::FlowFrame;

class CoalescerAndKernel : public testing::TestWithParam<size_t> {};
std::string kind_name(const testing::TestParamInfo<size_t>& kind) {
  static constexpr std::array kNames = {"Tcp4", "Tcp6", "Udp4", "Udp6"};
  return kNames[kind.param];
}
INSTANTIATE_TEST_SUITE_P(Kinds, CoalescerAndKernel, testing::Range<size_t>(0, kKinds.size()), kind_name);

// Two ports of a bridge.
struct Bridged {
  Bridged() {
    interfaces.bridge("br0");
    in = interfaces.tap("tap0", true, "br0");
    out = interfaces.tap("tap1", false, "br0");
  }

  // Merges the frames, which must become one, writes that, and reads as many at the other port.
  std::vector<Bytes> pass(const std::vector<Bytes>& frames) {
    Coalescer coalescer(kAll, 12);
    const Merged merged = merge(coalescer, frames);
    EXPECT_EQ(merged.frames.size(), 1u);
    const Bytes& bytes = merged.frames[0];
    EXPECT_EQ(write(in.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return test::frames_from(out.get(), frames.size());
  }

  test::Interfaces interfaces;
  Fd in;
  Fd out;
};

bool is_taken(const Bridged& bridged, const FlowFrame& kind) {
  return !kind.is_udp || probe_gso(bridged.in.get(), 12).udp;
}

TEST_P(CoalescerAndKernel, SegmentsAreTheFramesThatWereMerged) {
  std::string skip;
  test::in_own_network([&] {
    Bridged bridged;
    FlowFrame kind = kKinds[GetParam()];
    if (!is_taken(bridged, kind)) {
      skip = "kernel: no UDP GSO from taps";
      return;
    }
    for (const bool needs_checksum : {false, true}) {
      kind.needs_checksum = needs_checksum;
      for (const unsigned data_bytes : {1u, 64u, 1400u}) {
        kind.data_bytes = data_bytes;
        for (const unsigned fragment : {0u, 0x4000u}) {
          kind.fragment = fragment;
          const std::vector<Bytes> frames = flow(kind, 40);
          EXPECT_EQ(bridged.pass(frames), received(frames)) << data_bytes << " bytes";
        }
      }
    }
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST_P(CoalescerAndKernel, ShorterLastFrameWithPushAndOptions) {
  std::string skip;
  test::in_own_network([&] {
    Bridged bridged;
    FlowFrame kind = kKinds[GetParam()];
    if (!is_taken(bridged, kind)) {
      skip = "kernel: no UDP GSO from taps";
      return;
    }
    kind.options = {1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6};
    kind.id = 0xfffe;
    std::vector<Bytes> frames = flow(kind, 5);
    kind.sequence += 5 * kind.data_bytes;
    kind.id += 5;
    kind.data_bytes = 3;
    kind.flags = 0x18;
    frames.push_back(test::flow_frame(kind));
    EXPECT_EQ(bridged.pass(frames), received(frames));
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST(CoalescerAndKernelIds, FixedIdsOfUnfragmentableFramesCountAfterwards) {
  test::in_own_network([] {
    Bridged bridged;
    FlowFrame kind = kKinds[0];
    std::vector<Bytes> frames;
    std::vector<Bytes> counted;
    for (unsigned i = 0; i < 5; ++i) {
      frames.push_back(test::flow_frame(kind));
      FlowFrame with_id = kind;
      with_id.id += i;
      counted.push_back(test::flow_frame(with_id));
      kind.sequence += kind.data_bytes;
    }
    EXPECT_EQ(bridged.pass(frames), received(counted));
  });
}

}  // namespace
}  // namespace tapferry
