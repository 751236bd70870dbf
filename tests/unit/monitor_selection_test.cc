// SPDX-License-Identifier: MIT
//
// Whom the monitor follows, and when it ends.
#include "tools/monitor_selection.h"

#include <gtest/gtest.h>
#include <linux/if.h>

namespace tapferry {
namespace {

using Kind = LinkChange::Kind;

LinkChange change(Kind kind, int index, const std::string& name, unsigned flags = 0) {
  LinkChange made;
  made.kind = kind;
  made.state.link.index = index;
  made.state.link.name = name;
  made.state.link.flags = flags;
  return made;
}

TEST(Selection, WithoutNamesIsEverything) {
  Selection all({}, false);
  EXPECT_TRUE(all.select(change(Kind::kAdded, 1, "a")));
  EXPECT_TRUE(all.select(change(Kind::kRemoved, 1, "a")));
  EXPECT_EQ(all.missing(), nullptr);
  EXPECT_FALSE(all.is_over());
}

TEST(Selection, FollowsTheIndexWhateverItIsCalled) {
  Selection one({"a"}, false);
  EXPECT_EQ(*one.missing(), "a");
  EXPECT_FALSE(one.select(change(Kind::kPresent, 1, "b")));
  EXPECT_TRUE(one.select(change(Kind::kPresent, 2, "a")));
  EXPECT_EQ(one.missing(), nullptr);
  EXPECT_TRUE(one.select(change(Kind::kChanged, 2, "c")));
  EXPECT_FALSE(one.select(change(Kind::kChanged, 1, "a"))) << "the name is somebody else's now";
  EXPECT_FALSE(one.select(change(Kind::kRemoved, 1, "a")));
  EXPECT_FALSE(one.is_over());
  EXPECT_TRUE(one.select(change(Kind::kRemoved, 2, "c")));
  EXPECT_TRUE(one.is_over());
  EXPECT_FALSE(one.select(change(Kind::kAdded, 3, "a"))) << "over is over";
}

TEST(Selection, WaitsForNamesThatNobodyHasAnyMore) {
  Selection one({"a"}, true);
  EXPECT_EQ(one.select(change(Kind::kAdded, 1, "a"))->kind, Kind::kAdded);
  EXPECT_TRUE(one.select(change(Kind::kRemoved, 1, "b")));
  EXPECT_FALSE(one.is_over());
  EXPECT_EQ(one.select(change(Kind::kChanged, 2, "a"))->kind, Kind::kAdded) << "given the name";
  EXPECT_EQ(one.select(change(Kind::kChanged, 2, "a"))->kind, Kind::kChanged);
}

TEST(Selection, WantsWhatItFollowsAndWhatItWaitsFor) {
  Selection one({"a"}, false);
  EXPECT_TRUE(one.wants(change(Kind::kPresent, 1, "a").state.link));
  EXPECT_FALSE(one.wants(change(Kind::kPresent, 2, "b").state.link));
  one.select(change(Kind::kPresent, 1, "a"));
  EXPECT_TRUE(one.wants(change(Kind::kPresent, 1, "renamed").state.link));
  EXPECT_FALSE(one.wants(change(Kind::kPresent, 3, "a").state.link));
}

TEST(Selection, PassesOnThatEverythingWasReadAgain) {
  EXPECT_TRUE(Selection({"a"}, false).select(change(Kind::kResynchronised, 0, "")));
}

bool is_met(const char* list, const LinkChange& by) { return ExitConditions::parse(list).value().is_met_by(by); }

TEST(ExitConditions, AreStates) {
  EXPECT_TRUE(is_met("up", change(Kind::kPresent, 1, "a", IFF_UP)));
  EXPECT_FALSE(is_met("up", change(Kind::kPresent, 1, "a")));
  EXPECT_TRUE(is_met("down", change(Kind::kChanged, 1, "a", IFF_BROADCAST)));
  EXPECT_TRUE(is_met("carrier", change(Kind::kChanged, 1, "a", IFF_UP | IFF_LOWER_UP)));
  EXPECT_TRUE(is_met("no-carrier", change(Kind::kChanged, 1, "a", IFF_UP)));
  EXPECT_TRUE(is_met("up,removed", change(Kind::kRemoved, 1, "a")));
  EXPECT_FALSE(is_met("up,down,carrier,no-carrier", change(Kind::kRemoved, 1, "a", IFF_UP)))
      << "it is nothing any more";
  EXPECT_FALSE(is_met("down,no-carrier", change(Kind::kResynchronised, 0, "")));
}

TEST(ExitConditions, AreSpelledRight) {
  EXPECT_TRUE(ExitConditions().is_empty());
  for (const char* list : {"", "Up", "up,", ",up", "up down", "gone"}) {
    EXPECT_FALSE(ExitConditions::parse(list).is_ok()) << list;
  }
}

}  // namespace
}  // namespace tapferry
