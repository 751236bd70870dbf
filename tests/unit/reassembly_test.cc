// SPDX-License-Identifier: MIT
#include "tools/reassembly.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace tapferry {
namespace {

Bytes counted(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i % 251);
  return bytes;
}

// A fragment of `payload`, which must outlive it.
IpPacket fragment(const Bytes& payload, size_t begin, size_t end, uint32_t id = 1) {
  IpPacket packet;
  packet.from = *parse_ip("192.0.2.1");
  packet.to = *parse_ip("192.0.2.2");
  packet.protocol = kProtocolIcmp;
  packet.id = id;
  packet.fragment_offset = begin;
  packet.has_more_fragments = end < payload.size();
  packet.payload = View(payload).subspan(begin, end - begin);
  return packet;
}

TEST(Reassembly, AnyOrderGivesTheWhole) {
  const Bytes payload = counted(60000);
  std::vector<size_t> begins;
  for (size_t begin = 0; begin < payload.size(); begin += 1480) begins.push_back(begin);
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    Reassembly reassembly;
    for (size_t i = 0; i < begins.size(); ++i) {
      const auto whole = reassembly.add(fragment(payload, begins[i], std::min(begins[i] + 1480, payload.size())), 0);
      ASSERT_EQ(whole.has_value(), i + 1 == begins.size());
      if (whole) {
        EXPECT_EQ(*whole, payload);
      }
    }
    EXPECT_EQ(reassembly.size(), 0u);
    std::shuffle(begins.begin(), begins.end(), random);
  }
}

TEST(Reassembly, DatagramsDoNotMix) {
  const Bytes payload = counted(24);
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(fragment(payload, 0, 16, 1), 0));
  EXPECT_FALSE(reassembly.add(fragment(payload, 16, 24, 2), 0));
  EXPECT_TRUE(reassembly.add(fragment(payload, 16, 24, 1), 0));
  EXPECT_EQ(reassembly.size(), 1u);
}

TEST(Reassembly, FragmentThatCameBeforeIsIgnored) {
  const Bytes payload = counted(24);
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(fragment(payload, 0, 16), 0));
  EXPECT_FALSE(reassembly.add(fragment(payload, 0, 16), 0));
  EXPECT_TRUE(reassembly.add(fragment(payload, 16, 24), 0));
}

TEST(Reassembly, OverlapEndsTheDatagram) {
  const Bytes payload = counted(32);
  const Bytes other(32, 0xee);
  for (const auto& [begin, end] : std::vector<std::pair<size_t, size_t>>{{0, 16}, {8, 16}, {8, 24}, {0, 32}}) {
    Reassembly reassembly;
    EXPECT_FALSE(reassembly.add(fragment(payload, 0, 16), 0));
    EXPECT_FALSE(reassembly.add(fragment(other, begin, end), 0));
    EXPECT_EQ(reassembly.size(), 0u) << begin << " " << end;
    EXPECT_FALSE(reassembly.add(fragment(payload, 16, 32), 0));
  }
}

TEST(Reassembly, LengthsThatContradictEndTheDatagram) {
  const Bytes payload = counted(32);
  const Bytes shorter = counted(24);
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(fragment(payload, 24, 32), 0));
  EXPECT_FALSE(reassembly.add(fragment(shorter, 16, 24), 0));
  EXPECT_EQ(reassembly.size(), 0u);
  EXPECT_FALSE(reassembly.add(fragment(shorter, 16, 24), 0));
  EXPECT_FALSE(reassembly.add(fragment(payload, 24, 32), 0)) << "behind the end";
  EXPECT_EQ(reassembly.size(), 0u);
}

TEST(Reassembly, ImpossibleFragmentsAreRefused) {
  const Bytes payload = counted(32);
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(fragment(payload, 0, 13), 0)) << "odd length in the middle";
  EXPECT_FALSE(reassembly.add(fragment(payload, 8, 8), 0)) << "empty";
  IpPacket beyond = fragment(payload, 0, 32);
  beyond.fragment_offset = 65528;
  EXPECT_FALSE(reassembly.add(beyond, 0)) << "larger than any datagram";
  EXPECT_EQ(reassembly.size(), 0u);
}

TEST(Reassembly, MemoryIsBoundedAndTheOldestGivesWay) {
  const Bytes payload = counted(16);
  Reassembly reassembly;
  for (uint32_t id = 0; id < 100; ++id) EXPECT_FALSE(reassembly.add(fragment(payload, 0, 8, id), 0));
  EXPECT_EQ(reassembly.size(), Reassembly::kMaxDatagrams);
  EXPECT_TRUE(reassembly.add(fragment(payload, 8, 16, 99), 0));
  EXPECT_FALSE(reassembly.add(fragment(payload, 8, 16, 0), 0));
}

TEST(Reassembly, TimeRunsOut) {
  const Bytes payload = counted(16);
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(fragment(payload, 0, 8), 0));
  EXPECT_FALSE(reassembly.add(fragment(payload, 8, 16), Reassembly::kTimeoutMs + 1));
  EXPECT_EQ(reassembly.size(), 1u) << "the second began a new one";
}

}  // namespace
}  // namespace tapferry
