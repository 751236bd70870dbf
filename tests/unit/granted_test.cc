// SPDX-License-Identifier: MIT
#include "helper/granted.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

Link tap(const std::string& alias, const std::string& kind = "tun") {
  Link link;
  link.kind = kind;
  link.alias = alias;
  return link;
}

constexpr const char* kGranted = "tapferry uid=1000 kind=bridge upper=br0 since=1 persist=on rule=policy.conf:1";

TEST(Release, IsForThoseWhomItWasGranted) {
  EXPECT_TRUE(may_release(tap(kGranted), 1000));
  EXPECT_FALSE(may_release(tap(kGranted), 1001));
  EXPECT_FALSE(may_release(tap(kGranted), 0));
  EXPECT_FALSE(may_release(tap(kGranted), 100));
}

TEST(Release, IsForTapsOfOursThatWereToPersist) {
  EXPECT_TRUE(
      may_release(tap("tapferry uid=1000 kind=macvtap upper=eth0 since=1 persist=on rule=a:1", "macvtap"), 1000));
  for (const char* kind : {"", "bridge", "ipvtap", "dummy"})
    EXPECT_FALSE(may_release(tap(kGranted, kind), 1000)) << kind;
  for (const char* alias :
       {"", "tapferry", "tapferry uid=1000 kind=bridge since=1 rule=policy.conf:1",
        "tapferry uid=1000 kind=bridge since=1 persist=off rule=policy.conf:1",
        "tapferry uid=1000 kind=bridge since=1 rule=a persist=on", "x tapferry uid=1000 persist=on",
        "tapferry uid=01000 kind=bridge persist=on rule=a", "tapferry uid=1000 kind=x persist=on rule=a",
        "tapferry uid= persist=on rule=a", "tapferry uid=-1000 persist=on rule=a"}) {
    EXPECT_FALSE(may_release(tap(alias), 1000)) << alias;
  }
}

TEST(Release, WhomAHolderMadeItsOwnerDoesntCount) {
  Link link = tap(kGranted);
  link.tap_owner = 1001;
  link.is_persistent_tap = false;
  link.has_carrier = true;
  EXPECT_TRUE(may_release(link, 1000));
  EXPECT_FALSE(may_release(link, 1001));
}

TEST(BringUp, IsForThoseWhomItWasGranted) {
  const char* granted = "tapferry uid=1000 kind=macvtap upper=eth0 since=1 rule=policy.conf:1";
  for (const char* kind : {"tun", "macvtap"}) {
    EXPECT_TRUE(may_bring_up(tap(granted, kind), 1000)) << kind;
    EXPECT_FALSE(may_bring_up(tap(granted, kind), 1001)) << kind;
    EXPECT_FALSE(may_bring_up(tap(granted, kind), 0)) << kind;
  }
  for (const char* kind : {"", "bridge", "veth", "macvlan"})
    EXPECT_FALSE(may_bring_up(tap(granted, kind), 1000)) << kind;
  for (const char* alias :
       {"", "x tapferry uid=1000", "tapferry uid=1000 kind=bridge since=1 up=off rule=policy.conf:1"}) {
    EXPECT_FALSE(may_bring_up(tap(alias), 1000)) << alias;
  }
  EXPECT_TRUE(may_bring_up(tap("tapferry uid=1000 kind=bridge since=1 rule=a up=off"), 1000));
}

}  // namespace
}  // namespace tapferry
