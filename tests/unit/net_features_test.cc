// SPDX-License-Identifier: MIT
#include "vhost/net_features.h"

#include <gtest/gtest.h>
#include <linux/if_tun.h>

namespace tapferry {
namespace {

constexpr unsigned kAllOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | kTunUso;

NetAbilities abilities(unsigned offloads, unsigned pairs = 1) {
  NetAbilities abilities;
  abilities.tap_offloads = offloads;
  abilities.queue_pairs = pairs;
  return abilities;
}

TEST(NetFeaturesTest, OffersWhatTheTapTakes) {
  const uint64_t all = offered_features(abilities(kAllOffloads, 2));
  for (const Feature feature : {Feature::kVersion1,   Feature::kEventIdx,        Feature::kIndirectDesc,
                                Feature::kRingPacked, Feature::kInOrder,         Feature::kMrgRxbuf,
                                Feature::kCsum,       Feature::kGuestCsum,       Feature::kGuestTso4,
                                Feature::kGuestTso6,  Feature::kGuestEcn,        Feature::kHostTso4,
                                Feature::kHostTso6,   Feature::kHostEcn,         Feature::kGuestUso4,
                                Feature::kGuestUso6,  Feature::kHostUso,         Feature::kMq,
                                Feature::kMtu,        Feature::kStatus,          Feature::kGuestAnnounce,
                                Feature::kLogAll,     Feature::kProtocolFeatures}) {
    EXPECT_TRUE(has(all, feature)) << static_cast<unsigned>(feature);
  }
}

TEST(NetFeaturesTest, OffersNoUsoWithoutTheKernels) {
  const uint64_t offered = offered_features(abilities(kAllOffloads & ~kTunUso));
  EXPECT_FALSE(has(offered, Feature::kHostUso));
  EXPECT_FALSE(has(offered, Feature::kGuestUso4));
  EXPECT_TRUE(has(offered, Feature::kGuestTso4));
  EXPECT_FALSE(has(offered_features(abilities(kAllOffloads & ~0x20u)), Feature::kGuestUso6)) << "both or none";
}

TEST(NetFeaturesTest, OffersSeveralQueuesWhereThereAreSome) {
  EXPECT_FALSE(has(offered_features(abilities(kAllOffloads, 1)), Feature::kMq));
  EXPECT_TRUE(has(offered_features(abilities(kAllOffloads, 2)), Feature::kMq));
}

TEST(NetFeaturesTest, WhatWasNotOfferedIsRefused) {
  const uint64_t offered = offered_features(abilities(0));
  EXPECT_TRUE(check_features(offered, offered).is_ok());
  EXPECT_TRUE(check_features(0, offered).is_ok());
  const Status refused = check_features(offered | bit(Feature::kGuestTso4), offered);
  ASSERT_FALSE(refused.is_ok());
  EXPECT_EQ(refused.error().line(), "do SET_FEATURES: bits that were not offered: 0x80");
}

TEST(NetFeaturesTest, OffloadsAreThoseThatTheDriverTook) {
  EXPECT_EQ(tap_offloads(0), 0u);
  EXPECT_EQ(tap_offloads(bit(Feature::kGuestCsum)), unsigned{TUN_F_CSUM});
  const uint64_t tso = bit(Feature::kGuestCsum) | bit(Feature::kGuestTso4) | bit(Feature::kGuestEcn);
  EXPECT_EQ(tap_offloads(tso), unsigned{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN});
  EXPECT_EQ(tap_offloads(~uint64_t{0}), kAllOffloads);
}

// Combinations for which TUNSETOFFLOAD says EINVAL.
TEST(NetFeaturesTest, BitsWithoutTheirPreconditionHaveNoEffect) {
  EXPECT_EQ(tap_offloads(bit(Feature::kGuestTso4) | bit(Feature::kGuestTso6)), 0u) << "without GUEST_CSUM";
  EXPECT_EQ(tap_offloads(bit(Feature::kGuestCsum) | bit(Feature::kGuestEcn)), unsigned{TUN_F_CSUM}) << "without TSO";
  EXPECT_EQ(tap_offloads(bit(Feature::kGuestCsum) | bit(Feature::kGuestUso4)), unsigned{TUN_F_CSUM})
      << "without the other USO";
}

TEST(NetFeaturesTest, HeaderIsLongerWithVersion1OrMergeableBuffers) {
  EXPECT_EQ(frame_rules(0, {}).header_bytes, 10u);
  EXPECT_EQ(frame_rules(bit(Feature::kVersion1), {}).header_bytes, 12u);
  EXPECT_EQ(frame_rules(bit(Feature::kMrgRxbuf), {}).header_bytes, 12u);
  EXPECT_TRUE(frame_rules(bit(Feature::kMrgRxbuf), {}).has_mergeable_buffers);
  EXPECT_FALSE(frame_rules(bit(Feature::kVersion1), {}).has_mergeable_buffers);
}

TEST(NetFeaturesTest, LargeFramesComeOnlyToWhomAcceptsGso) {
  EXPECT_FALSE(frame_rules(bit(Feature::kGuestCsum) | bit(Feature::kHostTso4), {}).has_large_receive);
  EXPECT_TRUE(frame_rules(bit(Feature::kGuestCsum) | bit(Feature::kGuestTso6), {}).has_large_receive);
  EXPECT_FALSE(frame_rules(bit(Feature::kGuestTso6), {}).has_large_receive) << "has no effect without GUEST_CSUM";
  const uint64_t uso = bit(Feature::kGuestCsum) | bit(Feature::kGuestUso4) | bit(Feature::kGuestUso6);
  EXPECT_TRUE(frame_rules(uso, {}).has_large_receive);
}

TEST(NetFeaturesTest, RulesHaveTheTapsMtuAndMerging) {
  NetAbilities tap = abilities(kAllOffloads);
  tap.mtu = 9000;
  tap.merge.tcp4 = true;
  const FrameRules rules = frame_rules(0, tap);
  EXPECT_EQ(rules.mtu, 9000u);
  EXPECT_TRUE(rules.merge.tcp4);
  EXPECT_FALSE(rules.merge.udp);
}

}  // namespace
}  // namespace tapferry
