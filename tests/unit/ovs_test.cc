// SPDX-License-Identifier: MIT
//
// Open vSwitch: which words it may be told, what marks a port as ours, and what its answers mean.
#include "net/ovs.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

constexpr const char* kUuid = "d7183841-0e87-4f6d-977a-37744d765722";

OvsTag tag() { return {"br-int", 31, 1767225600, 1000}; }

Link tap(int index, const std::string& alias) {
  Link link;
  link.index = index;
  link.kind = "tun";
  link.alias = alias;
  return link;
}

TEST(Ovs, OnlyAnObjectThatSaysSoIsItsBridge) {
  EXPECT_EQ(ovs_bridge("ovs:br-int"), "br-int");
  EXPECT_EQ(ovs_bridge("ovs:"), "");
  EXPECT_EQ(ovs_bridge("br-int"), std::nullopt);
  EXPECT_EQ(ovs_bridge("ovs"), std::nullopt);
}

TEST(Ovs, WordsMeanNothingToACommandLine) {
  for (const char* good : {"a", "vm-1", "0", "A.b_c:d-e", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}) {
    EXPECT_TRUE(is_ovs_word(good, 128)) << good;
  }
  for (const char* bad : {"", "-x", "--", ".a", "_a", ":a", "a b", "a\"", "a'", "a=b", "a,b", "a;b", "a{b", "a*",
                          "a\\b", "a\nb", "a/b", "@a", "\xc3\xa4"}) {
    EXPECT_FALSE(is_ovs_word(bad, 128)) << bad;
  }
  EXPECT_FALSE(is_ovs_word("ab", 1));
  EXPECT_FALSE(is_ovs_interface_name("a:b"));
  EXPECT_FALSE(is_ovs_interface_name("sixteen-bytes-00"));
}

TEST(Ovs, ATagIsReadAsItWasWritten) {
  EXPECT_EQ(to_string(tag()), "bridge=br-int;ifindex=31;since=1767225600;uid=1000");
  EXPECT_EQ(parse_ovs_tag(to_string(tag())), tag());
}

TEST(Ovs, WhatOnlyLooksLikeATagIsNone) {
  for (const char* text :
       {"", "tapferry", "bridge=br-int;ifindex=31;since=1", "bridge=br-int;ifindex=31;since=1;uid=2;x=3",
        "bridge=;ifindex=31;since=1;uid=2", "bridge=-br;ifindex=31;since=1;uid=2", "bridge=br;ifindex=0;since=1;uid=2",
        "bridge=br;ifindex=31;since=-1;uid=2", "bridge=br;ifindex=31;since=1;uid=4294967296",
        "ifindex=31;bridge=br;since=1;uid=2"}) {
    EXPECT_EQ(parse_ovs_tag(text), std::nullopt) << text;
  }
}

TEST(Ovs, APortIsLeftBehindWhenItsInterfaceIsAnotherOrNone) {
  const OvsPort port = {kUuid, "vm-1", tag()};
  const std::string alias = "tapferry uid=1000 kind=bridge upper=ovs:br-int since=1767225600 rule=policy.conf:1";
  EXPECT_FALSE(is_left_behind(port, tap(31, alias)));
  EXPECT_TRUE(is_left_behind(port, std::nullopt));
  EXPECT_TRUE(is_left_behind(port, tap(32, alias)));
  EXPECT_TRUE(is_left_behind(port, tap(31, "")));
  // After a boot indexes begin anew.
  EXPECT_TRUE(is_left_behind(port, tap(31, "tapferry uid=1000 kind=bridge upper=ovs:br-int since=1767225601 rule=x")));
}

TEST(Ovs, PortsOfOthersArePassedOver) {
  const std::string ours = std::string(kUuid) + ",tap0,other=x tapferry=" + to_string(tag()) + "\n";
  const std::vector<OvsPort> ports =
      read_ports(ours + kUuid + ",tap1,tapferry=mine\n" + "no-uuid,tap2,tapferry=" + to_string(tag()) + "\n" + kUuid +
                 ",a,b,c\n\nnonsense\n");
  ASSERT_EQ(ports.size(), 1u);
  EXPECT_EQ(ports[0].uuid, kUuid);
  EXPECT_EQ(ports[0].name, "tap0");
  EXPECT_EQ(ports[0].tag, tag());
}

TEST(Ovs, ABridgesOwnInterfaceIsOneLine) {
  const auto local = read_local_port("3,72:b8:fb:65:f7:4b\n");
  ASSERT_TRUE(local);
  EXPECT_EQ(local->ifindex, 3);
  EXPECT_EQ(to_string(local->mac), "72:b8:fb:65:f7:4b");
  for (const char* text :
       {"", "\n", "3\n", ",\n", "0,72:b8:fb:65:f7:4b\n", "3,72:b8\n", "3,72:b8:fb:65:f7:4b\n4,72:b8:fb:65:f7:4c\n"}) {
    EXPECT_FALSE(read_local_port(text)) << text;
  }
}

TEST(Ovs, AddingAndRemovingWhatIsLeftBehindIsOneTransaction) {
  const std::vector<std::string> expected = {
      "--no-wait",
      "--",
      "--if-exists",
      "remove",
      "Bridge",
      "br-int",
      "ports",
      kUuid,
      "--",
      "--id=@interface",
      "create",
      "Interface",
      "name=\"vm-1\"",
      "external_ids:iface-id=\"alice-1\"",
      "--",
      "--id=@port",
      "create",
      "Port",
      "name=\"vm-1\"",
      "interfaces=@interface",
      "external_ids:tapferry=\"bridge=br-int;ifindex=31;since=1767225600;uid=1000\"",
      "other_config:transient=true",
      "--",
      "add",
      "Bridge",
      "br-int",
      "ports",
      "@port"};
  EXPECT_EQ(arguments_to_add({"vm-1", tag(), "alice-1"}, {{kUuid, "vm-0", tag()}}), expected);
}

}  // namespace
}  // namespace tapferry
