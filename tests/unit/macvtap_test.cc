// SPDX-License-Identifier: MIT
#include "net/macvtap.h"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <sys/sysmacros.h>

#include "helper/queue_node.h"

namespace tapferry {
namespace {

// As the kernel sends it, a zero byte for each newline here.
std::string uevent(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = '\0';
  }
  return text;
}

const std::string kAdded = uevent(
    "add@/devices/virtual/net/mvtap1/tap7\nACTION=add\nDEVPATH=/devices/virtual/net/mvtap1/tap7\nSUBSYSTEM=macvtap\n"
    "MAJOR=246\nMINOR=3\nDEVNAME=tap7\nSEQNUM=1234\n");

std::string with(const std::string& old, const std::string& fresh) {
  std::string message = kAdded;
  return message.replace(message.find(old), old.size(), fresh);
}

TEST(TapUevent, TellsTheNumberOfTheNewDevice) { EXPECT_EQ(parse_tap_uevent(kAdded, 7), makedev(246, 3)); }

TEST(TapUevent, OfAnotherInterfaceDoesNot) {
  for (const int index : {0, 1, 6, 8, 70, 77, -7}) EXPECT_EQ(parse_tap_uevent(kAdded, index), std::nullopt) << index;
  EXPECT_EQ(parse_tap_uevent(with("DEVNAME=tap7", "DEVNAME=tap71"), 7), std::nullopt);
  EXPECT_EQ(parse_tap_uevent(with("DEVNAME=tap7", "DEVNAME=net/tap7"), 7), std::nullopt);
}

TEST(TapUevent, OfAnotherSubsystemOrActionDoesNot) {
  EXPECT_EQ(parse_tap_uevent(with("SUBSYSTEM=macvtap", "SUBSYSTEM=net"), 7), std::nullopt);
  EXPECT_EQ(parse_tap_uevent(with("SUBSYSTEM=macvtap", "SUBSYSTEM=macvtap2"), 7), std::nullopt);
  EXPECT_EQ(parse_tap_uevent(with("ACTION=add", "ACTION=remove"), 7), std::nullopt);
  EXPECT_EQ(parse_tap_uevent(with("ACTION=add", "ACTION=change"), 7), std::nullopt);
}

TEST(TapUevent, WithANumberThatIsNoneDoesNot) {
  for (const char* number : {"MAJOR=", "MAJOR=-1", "MAJOR=0", "MAJOR=4096", "MAJOR=2 46", "MAJOR=0xf6", "XMAJOR=246"}) {
    EXPECT_EQ(parse_tap_uevent(with("MAJOR=246", number), 7), std::nullopt) << number;
  }
  for (const char* number : {"MINOR=", "MINOR=1048576", "MINOR=99999999999999999999", "XMINOR=3"}) {
    EXPECT_EQ(parse_tap_uevent(with("MINOR=3", number), 7), std::nullopt) << number;
  }
}

TEST(TapUevent, WhatIsNotWholeDoesNot) {
  EXPECT_EQ(parse_tap_uevent("", 7), std::nullopt);
  EXPECT_EQ(parse_tap_uevent(std::string(100, '\0'), 7), std::nullopt);
  const size_t named = kAdded.find("DEVNAME=tap7") + std::string("DEVNAME=tap7").size();
  for (size_t length = 0; length < named; ++length) {
    EXPECT_EQ(parse_tap_uevent(std::string_view(kAdded).substr(0, length), 7), std::nullopt) << length;
  }
}

TEST(TapUevent, NoiseDoesNoHarm) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string noisy = kAdded;
    for (int i = 0; i < 1 + round % 8; ++i) noisy[random() % noisy.size()] = static_cast<char>(random());
    const auto device = parse_tap_uevent(noisy, 7);
    EXPECT_TRUE(!device || major(*device) > 0);
  }
}

TEST(TapDevice, IsWhatMacvtapAndIpvtapHave) {
  EXPECT_TRUE(has_tap_device("macvtap"));
  EXPECT_TRUE(has_tap_device("ipvtap"));
  for (const char* kind : {"", "tun", "macvlan", "ipvlan", "macvtap2", "veth"}) EXPECT_FALSE(has_tap_device(kind));
}

TEST(NodePath, IsANameDirectlyInTheDirectory) {
  EXPECT_TRUE(is_node_path("/dev/tapferry/0123456789abcdef"));
  for (const char* path : {"", "/dev/tapferry", "/dev/tapferry/a/b", "/dev/tapferry/../null", "/dev/null",
                           "dev/tapferry/x", "/dev/tapferry2/x"}) {
    EXPECT_FALSE(is_node_path(path)) << path;
  }
  const std::string one = fresh_node_path().value();
  EXPECT_TRUE(is_node_path(one));
  EXPECT_NE(one, fresh_node_path().value());
}

TEST(CreateMacvtap, OnNoParentIsRefused) {
  Rtnl rtnl = Rtnl::open().value();
  NewMacvtap macvtap;
  macvtap.name = "tapferry-none";
  macvtap.lower = INT32_MAX;
  EXPECT_FALSE(create_macvtap(rtnl, macvtap).is_ok());
}

TEST(QueueMac, OfSomethingElseIsRefused) { EXPECT_FALSE(queue_mac(0).is_ok()); }

}  // namespace
}  // namespace tapferry
