// SPDX-License-Identifier: MIT
//
// What the warden remembers, and what it concludes from what happened.
#include "helper/kept.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

constexpr const char* kTag = "tapferry uid=1000 kind=macvtap upper=v0 since=1 rule=policy.conf:1";

Link macvtap(int index) {
  Link link;
  link.name = "mvtap" + std::to_string(index);
  link.index = index;
  link.kind = "macvtap";
  link.lower = 3;
  link.alias = kTag;
  link.mac = *parse_mac("52:54:00:00:00:01");
  return link;
}

Link port(int index) {
  Link link = macvtap(index);
  link.kind = "tun";
  link.lower = 0;
  link.master = 9;
  return link;
}

Kept keep(const Link& link, const char* spec, std::set<int> queues = {}) {
  return keep_of(link, parse_spec(spec).value(), std::move(queues));
}

TEST(Kept, AMacvtapGoesWithTheLastOfItsQueues) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0,queues=3", {1, 2, 7}));
  EXPECT_EQ(table.queue_closed(2), std::nullopt);
  EXPECT_EQ(table.queue_closed(7), std::nullopt);
  EXPECT_EQ(table.queue_closed(1), 5);
}

TEST(Kept, AQueueThatIsClosedTwiceIsOne) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0,queues=2", {1, 2}));
  EXPECT_EQ(table.queue_closed(1), std::nullopt);
  EXPECT_EQ(table.queue_closed(1), std::nullopt);
  EXPECT_EQ(table.queue_closed(2), 5);
}

TEST(Kept, AQueueOfNobodyConcernsNobody) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0", {1}));
  EXPECT_EQ(table.queue_closed(2), std::nullopt);
  table.forget(5);
  EXPECT_EQ(table.queue_closed(1), std::nullopt);
}

TEST(Kept, TheQueueOfOneIsNotThatOfAnother) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0", {1}));
  table.add(6, keep(macvtap(6), "macvtap=v0", {2}));
  EXPECT_EQ(table.queue_closed(2), 6);
  EXPECT_EQ(table.queue_closed(1), 5);
}

TEST(Kept, ATapGoesByItself) {
  KeptTable table;
  table.add(5, keep(port(5), "bridge=br0,lock=on,guest_mac=52:54:00:00:00:01", {1}));
  EXPECT_FALSE(table.find(5)->goes_with_queues);
  EXPECT_EQ(table.queue_closed(1), std::nullopt);
}

TEST(Kept, OnlyALockedOneIsRemovedForItsAddress) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0"));
  table.add(6, keep(macvtap(6), "macvtap=v0,lock=on,guest_mac=52:54:00:00:00:01"));
  table.add(7, keep(macvtap(7), "macvtap=v0,lock=off"));
  for (const int index : {5, 6, 7}) {
    Link changed = macvtap(index);
    EXPECT_EQ(table.why_remove(changed), std::nullopt);
    changed.mac = *parse_mac("52:54:00:00:00:fe");
    EXPECT_EQ(table.why_remove(changed).has_value(), index == 6);
  }
  Link changed = macvtap(6);
  changed.mac = *parse_mac("52:54:00:00:00:fe");
  EXPECT_EQ(table.why_remove(changed).value(),
            "it is locked, and its MAC address was changed from 52:54:00:00:00:01 to 52:54:00:00:00:fe");
}

TEST(Kept, AnotherChangeOfALockedOneIsItsOwnBusiness) {
  KeptTable table;
  table.add(6, keep(port(6), "bridge=br0,lock=on,guest_mac=52:54:00:00:00:02"));
  Link changed = port(6);
  changed.name = "renamed";
  changed.mtu = 900;
  changed.master = 0;
  EXPECT_EQ(table.why_remove(changed), std::nullopt);
}

TEST(Kept, AnInterfaceThatIsNotKeptIsLeftAlone) { EXPECT_EQ(KeptTable().why_remove(macvtap(5)), std::nullopt); }

TEST(Kept, AutoFollowsTheBridgeTheParentOrTheTapItself) {
  struct {
    Link link;
    const char* spec;
    int upper;
  } const cases[] = {{port(5), "bridge=br0,filter=auto", 9},
                     {macvtap(5), "macvtap=v0,filter=auto", 3},
                     {macvtap(5), "tap=vm-1,filter=auto", 5}};
  for (const auto& [link, spec, upper] : cases) {
    const Kept kept = keep(link, spec);
    EXPECT_TRUE(kept.follows_addresses) << spec;
    EXPECT_EQ(kept.upper, upper) << spec;
  }
  EXPECT_FALSE(keep(port(5), "bridge=br0,filter=ipv4").follows_addresses);
  EXPECT_FALSE(keep(port(5), "bridge=br0").follows_addresses);
}

TEST(Kept, FollowersAreThoseOfTheOneUpperDevice) {
  KeptTable table;
  table.add(5, keep(port(5), "bridge=br0,filter=auto"));
  table.add(6, keep(macvtap(6), "macvtap=v0,filter=auto"));
  table.add(7, keep(port(7), "bridge=br0"));
  table.add(8, keep(port(8), "bridge=br0,filter=auto"));
  EXPECT_EQ(table.followers_of(9), (std::vector<int>{5, 8}));
  EXPECT_EQ(table.followers_of(3), (std::vector<int>{6}));
  EXPECT_EQ(table.followers_of(0), (std::vector<int>{}));
}

TEST(Kept, WhoseItIsComesFromTheTag) {
  EXPECT_EQ(keep(macvtap(5), "macvtap=v0").uid, 1000u);
  EXPECT_EQ(keep(macvtap(5), "macvtap=v0").alias, kTag);
}

TEST(Kept, WhatIsToStayIsForgottenUnlessThereIsSomethingToWatch) {
  KeptTable table;
  table.add(5, keep(macvtap(5), "macvtap=v0", {1}));
  table.settle(5);
  EXPECT_NE(table.find(5), nullptr) << "it goes with its queues";
  table.let_stay(5);
  EXPECT_EQ(table.queue_closed(1), std::nullopt);
  table.settle(5);
  EXPECT_EQ(table.find(5), nullptr);
  table.add(6, keep(macvtap(6), "macvtap=v0,lock=on,guest_mac=52:54:00:00:00:01"));
  table.add(7, keep(macvtap(7), "macvtap=v0,filter=auto"));
  table.add(8, keep(macvtap(8), "macvtap=v0"));
  table.note_node(8, 77);
  for (const int index : {6, 7, 8}) {
    table.let_stay(index);
    table.settle(index);
    EXPECT_NE(table.find(index), nullptr) << index;
  }
  EXPECT_EQ(table.find(8)->node, 77u);
  table.let_stay(99);
  table.note_node(99, 1);
  table.settle(99);
  EXPECT_EQ(table.find(99), nullptr);
}

TEST(Kept, IsEmptyWhenNothingIsLeft) {
  KeptTable table;
  EXPECT_TRUE(table.is_empty());
  table.add(5, keep(macvtap(5), "macvtap=v0", {1}));
  EXPECT_FALSE(table.is_empty());
  EXPECT_EQ(table.indexes(), (std::vector<int>{5}));
  table.forget(5);
  EXPECT_TRUE(table.is_empty());
  EXPECT_EQ(table.find(5), nullptr);
}

TEST(KeptByTag, AMacvtapGoesWithTheQueuesThatAreFound) {
  const auto kept = keep_by_tag(macvtap(5));
  ASSERT_TRUE(kept.has_value());
  EXPECT_TRUE(kept->goes_with_queues);
  EXPECT_EQ(kept->uid, 1000u);
  EXPECT_FALSE(kept->fixed_mac || kept->follows_addresses);
}

TEST(KeptByTag, ALockKeepsTheAddressThatItHadWhenItWasMade) {
  Link link = port(5);
  link.alias = "tapferry uid=1000 kind=bridge upper=br0 since=1 lock=fe:00:00:00:00:01 rule=policy.conf:1";
  KeptTable table;
  table.add(5, keep_by_tag(link).value());
  EXPECT_TRUE(table.why_remove(link));
  link.mac = *parse_mac("fe:00:00:00:00:01");
  EXPECT_FALSE(table.why_remove(link));
  EXPECT_FALSE(table.find(5)->goes_with_queues);
}

TEST(KeptByTag, ALockedMacvtapLetsOnlyItsAddressPass) {
  Link link = macvtap(5);
  link.alias = "tapferry uid=1 kind=macvtap since=1 lock=52:54:00:00:00:01 filter=auto rule=p:1";
  const Kept kept = keep_by_tag(link).value();
  EXPECT_EQ(kept.traffic.only_source, link.mac);
  EXPECT_EQ(kept.upper, link.lower);
}

TEST(KeptByTag, WhatNeedsNobodyIsLeftAlone) {
  EXPECT_FALSE(keep_by_tag(port(5)));  // of another kind than its tag says
  Link link = port(5);
  link.alias = "tapferry uid=1 kind=bridge upper=br0 since=1 rule=p:1";
  EXPECT_FALSE(keep_by_tag(link));
  link = macvtap(5);
  link.alias = "uplink";
  EXPECT_FALSE(keep_by_tag(link));
  link.alias = "tapferry uid=1 kind=macvtap since=1 persist=on rule=p:1";
  EXPECT_FALSE(keep_by_tag(link));
}

}  // namespace
}  // namespace tapferry
