// SPDX-License-Identifier: MIT
#include "net/tag.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(Tag, PrintsWhatItParses) {
  for (const Tag& tag : {Tag{1000, Kind::kBridge, "br0", 1767225600, false, "policy.conf:12"},
                         Tag{4294967294, Kind::kTap, "", 1, true, "/some where/else.conf:3"},
                         Tag{0, Kind::kMacvtap, "eth0", 0, false, ""},
                         Tag{1000, Kind::kMacvtap, "eth0", 1, false, "policy.conf:1", true},
                         Tag{1, Kind::kMacvtap, "eth0", 1, false, "p:1", false, 64, std::nullopt, true},
                         Tag{1, Kind::kBridge, "br0", 1, true, "p:1", true, 1, parse_mac("fe:00:00:00:00:01"), true}}) {
    EXPECT_EQ(parse_tag(to_string(tag)), tag) << to_string(tag);
  }
}

TEST(Tag, FitsAnAliasHoweverLongTheRuleIs) {
  const Tag tag{1000, Kind::kBridge, "br0", 1767225600, false, std::string(400, 'x') + ":12"};
  const std::string text = to_string(tag);
  EXPECT_EQ(text.size(), 255u);
  EXPECT_TRUE(text.ends_with("x:12"));
  EXPECT_EQ(parse_tag(text)->uid, 1000u);
}

TEST(Tag, RuleCannotAddWordsOfItsOwn) {
  const auto tag = parse_tag(to_string(Tag{1000, Kind::kBridge, "br0", 1, false, "x persist=on uid=0"}));
  ASSERT_TRUE(tag.has_value());
  EXPECT_FALSE(tag->persist);
  EXPECT_EQ(tag->uid, 1000u);
}

TEST(Tag, OneOfAnEarlierVersionHasOneQueueAndNoLock) {
  const auto tag = parse_tag("tapferry uid=5 kind=macvtap upper=v0 since=7 rule=p:1");
  ASSERT_TRUE(tag.has_value());
  EXPECT_EQ(tag->queues, 1u);
  EXPECT_FALSE(tag->locked_mac || tag->follows_addresses);
}

TEST(Tag, IsNoOtherAlias) {
  for (const char* alias : {"", "tapferry", "tapferry uid=", "tapferry uid=x", "tapferry uid=-1", "tapferry uid=01",
                            "tapferry uid=4294967296", " tapferry uid=1", "Tapferry uid=1", "uplink of tapferry uid=1",
                            "tapferry uid=1000 kind=bond"}) {
    EXPECT_FALSE(parse_tag(alias).has_value()) << alias;
  }
}

TEST(Tag, WordsOfLaterVersionsArePassedOver) {
  const auto tag = parse_tag("tapferry uid=5 kind=tap colour=blue since=7 rule=p:1");
  ASSERT_TRUE(tag.has_value());
  EXPECT_EQ(tag->since, 7);
  EXPECT_EQ(tag->rule, "p:1");
}

}  // namespace
}  // namespace tapferry
