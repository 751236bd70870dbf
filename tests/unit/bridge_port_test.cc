// SPDX-License-Identifier: MIT
//
// Bridge ports of real kernels. What locking does to frames is shown in tests/system/test_lock.py.
#include "net/bridge_port.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "tests/unit/tc_case.h"

namespace tapferry {
namespace {

constexpr Mac kGuest = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

// tap7 as a port of br7.
struct PortCase : TapCase {
  Link bridge;

  template <typename Test>
  static void run(Test test) {
    TapCase::run([&](TapCase& t) {
      TapCase::command("ip link add br7 address 52:54:00:00:00:fe type bridge && ip link set tap7 master br7");
      Result<Link> bridge = get_link(t.rtnl, "br7");
      if (!bridge.is_ok()) GTEST_SKIP() << "kernel: no bridges";
      PortCase self = {{std::move(t.fd), std::move(t.rtnl), std::move(t.tap)}, std::move(bridge).value()};
      test(self);
    });
  }
};

TEST(BridgePort, FlagsAreReadBackAsTheyWereSet) {
  PortCase::run([](PortCase& p) {
    const PortFlags before = read_port_flags(p.rtnl, p.tap).value();
    EXPECT_EQ(before, (PortFlags{.learning = true, .locked = false, .bpdu_guard = false, .isolated = false}));
    const PortFlags locked = {.learning = false, .locked = true, .bpdu_guard = true, .isolated = std::nullopt};
    ASSERT_TRUE(set_port_flags(p.rtnl, p.tap, locked).is_ok());
    EXPECT_EQ(read_port_flags(p.rtnl, p.tap).value(),
              (PortFlags{.learning = false, .locked = true, .bpdu_guard = true, .isolated = false}));
    ASSERT_TRUE(set_port_flags(p.rtnl, p.tap, before).is_ok());
    EXPECT_EQ(read_port_flags(p.rtnl, p.tap).value(), before);
  });
}

TEST(BridgePort, WhatIsNoPortHasNoFlags) {
  TapCase::run([](TapCase& t) {
    EXPECT_EQ(read_port_flags(t.rtnl, t.tap).error().code(), ENODEV);
    EXPECT_FALSE(
        set_port_flags(t.rtnl, t.tap, {.learning = false, .locked = {}, .bpdu_guard = {}, .isolated = {}}).is_ok());
    EXPECT_FALSE(add_sticky_entry(t.rtnl, t.tap, kGuest).is_ok());
  });
}

TEST(BridgePort, AnAddressIsBoundOnce) {
  PortCase::run([](PortCase& p) {
    ASSERT_TRUE(add_sticky_entry(p.rtnl, p.tap, kGuest).is_ok());
    EXPECT_EQ(add_sticky_entry(p.rtnl, p.tap, kGuest).error().code(), EEXIST);
    EXPECT_EQ(add_sticky_entry(p.rtnl, p.tap, p.bridge.mac).error().code(), EEXIST);
    EXPECT_EQ(add_sticky_entry(p.rtnl, p.tap, p.tap.mac).error().code(), EEXIST);
  });
}

TEST(BridgePort, LockSaysWhyItCannot) {
  PortCase::run([](PortCase& p) {
    const auto reason = [&](const Mac& mac) {
      const Status status = lock_port(p.rtnl, p.tap, p.bridge, mac);
      return status.is_ok() ? "" : status.error().line();
    };
    EXPECT_EQ(reason({{1, 0, 0, 0, 0, 1}}), "lock tap7 to 01:00:00:00:00:01: it is no unicast address");
    EXPECT_EQ(reason(p.bridge.mac), "lock tap7 to 52:54:00:00:00:fe: it is the address of br7 itself");
    EXPECT_NE(reason(p.tap.mac).find("another port of br7 has that address"), std::string::npos);
    EXPECT_EQ(reason(kGuest), "");
  });
}

}  // namespace
}  // namespace tapferry
