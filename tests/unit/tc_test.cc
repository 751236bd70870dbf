// SPDX-License-Identifier: MIT
//
// Traffic control of real kernels. What it does to frames is shown in tests/system.
#include "net/tc.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <linux/if_ether.h>

#include "net/tc_hooks.h"
#include "tests/unit/tc_case.h"

namespace tapferry {
namespace {

constexpr Mac kGuest = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};
constexpr uint64_t kMbit = 1000 * 1000;

bool is_ok(const Status& status) {
  EXPECT_TRUE(status.is_ok()) << (status.is_ok() ? "" : status.error().line());
  return status.is_ok();
}

// Everything but act_police, which many kernels lack.
TrafficRules some_rules() {
  TrafficRules rules;
  rules.rate_to = 100 * kMbit;
  rules.only_source = kGuest;
  rules.ethertypes = {ETH_P_IP, ETH_P_ARP};
  return rules;
}

TEST(TrafficRules, AreReadBackAsTheyWereSet) {
  TapCase::run([](TapCase& t) {
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules())));
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), some_rules());
    EXPECT_NE(TapCase::command("tc qdisc show dev tap7").find("qdisc tbf 7a9e: root"), std::string::npos);
  });
}

TEST(TrafficRules, HangOnTheOtherSideOfAMacvtap) {
  TapCase::run([](TapCase& t) {
    TrafficRules rules;
    rules.rate_from = 10 * kMbit;
    rules.only_source = kGuest;
    rules.ethertypes = {ETH_P_IPV6};
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kMacvtap, rules)));
    const TrafficHooks hooks = read_hooks(t.rtnl, t.tap).value();
    EXPECT_EQ(hooks.queue_rate, 10 * kMbit);
    EXPECT_EQ(hooks.egress, (FrameRules{kGuest, std::vector<uint16_t>{ETH_P_IPV6}}));
    EXPECT_EQ(hooks.ingress, (FrameRules{std::nullopt, std::vector<uint16_t>{ETH_P_IPV6}}));
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kMacvtap).value(), rules);
  });
}

TEST(TrafficRules, NewOnesTakeThePlaceOfTheOld) {
  TapCase::run([](TapCase& t) {
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules())));
    TrafficRules rules;
    rules.rate_to = kMbit;
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules)));
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), rules);
    rules = {};
    rules.only_source = kGuest;
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules)));
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), rules);
  });
}

TEST(TrafficRules, NoneLeaveTheInterfaceAsItWas) {
  TapCase::run([](TapCase& t) {
    ASSERT_TRUE(is_ok(set_up(t.rtnl, t.tap, true)));
    const std::string before = TapCase::command("tc qdisc show dev tap7");
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules())));
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, {})));
    EXPECT_EQ(TapCase::command("tc qdisc show dev tap7"), before);
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, {}))) << "nothing to take away";
  });
}

TEST(TrafficRules, RatesOfAnySizeAreHeldAsBytes) {
  TapCase::run([](TapCase& t) {
    for (const uint64_t rate : {kMinRate, 56000ul, 8 * uint64_t{UINT32_MAX}, 8 * (uint64_t{UINT32_MAX} + 1), ~7ul}) {
      TrafficRules rules;
      rules.rate_to = rate;
      ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules))) << rate;
      EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), rules);
    }
  });
}

TEST(TrafficRules, ARateThatCannotBeHeldIsRefused) {
  TapCase::run([](TapCase& t) {
    TrafficRules rules;
    rules.rate_to = kMinRate - 1;
    EXPECT_EQ(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules).error().code(), ERANGE);
    EXPECT_TRUE(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value().is_empty());
  });
}

TEST(TrafficRules, TheAdministratorsRootQdiscStays) {
  TapCase::run([](TapCase& t) {
    TapCase::command("tc qdisc add dev tap7 root handle 5: tbf rate 1gbit burst 1mb latency 10ms");
    const std::string before = TapCase::command("tc qdisc show dev tap7");
    ASSERT_NE(before.find("tbf 5:"), std::string::npos);
    const Status status = apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules());
    ASSERT_FALSE(status.is_ok());
    EXPECT_EQ(status.error().code(), EEXIST);
    EXPECT_EQ(TapCase::command("tc qdisc show dev tap7"), before);
    TrafficRules filter;
    filter.ethertypes = {ETH_P_IP};
    EXPECT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, filter))) << "they don't meet";
  });
}

TEST(TrafficRules, TheAdministratorsFiltersStayAndTheRateIsTakenBack) {
  for (const std::string add : {"tc filter add dev tap7 egress pref 1 bpf da bytecode '1,6 0 0 4294967295'",
                                "tc filter add dev tap7 ingress pref 9 u32 match u32 0 0 flowid 1:1"}) {
    TapCase::run([&](TapCase& t) {
      TapCase::command("tc qdisc add dev tap7 clsact && " + add);
      const std::string before = TapCase::command("tc qdisc show dev tap7; tc filter show dev tap7 egress");
      const Status status = apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules());
      ASSERT_FALSE(status.is_ok()) << add;
      EXPECT_EQ(status.error().code(), EEXIST);
      EXPECT_EQ(TapCase::command("tc qdisc show dev tap7; tc filter show dev tap7 egress"), before);
    });
  }
}

TEST(TrafficRules, AnEmptyClsactIsUsed) {
  TapCase::run([](TapCase& t) {
    TapCase::command("tc qdisc add dev tap7 clsact");
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules())));
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), some_rules());
  });
}

TEST(TrafficRules, AfterAFailureTheOldOnesHold) {
  TapCase::run([](TapCase& t) {
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, some_rules())));
    TrafficRules rules;
    rules.rate_to = kMbit;
    rules.ethertypes = std::vector<uint16_t>(3000, ETH_P_IP);  // more instructions than the kernel takes
    EXPECT_FALSE(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules).is_ok());
    EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), some_rules());
  });
}

TEST(TrafficRules, RateFromTheGuestIsReadBackOrItsAbsenceExplained) {
  TapCase::run([](TapCase& t) {
    TrafficRules rules = some_rules();
    rules.rate_from = 10 * kMbit;
    const Status status = apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules);
    if (status.is_ok()) {
      EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), rules);
      return;
    }
    EXPECT_EQ(status.error().code(), ENOENT);
    EXPECT_NE(status.error().reason().find("act_police"), std::string::npos) << status.error().line();
    EXPECT_TRUE(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value().is_empty());
  });
}

TEST(FrameFilterSwap, TakesThePlaceOfBothPrograms) {
  TapCase::run([](TapCase& t) {
    TrafficRules rules = some_rules();
    rules.ethertypes.emplace();
    ASSERT_TRUE(is_ok(apply_traffic_rules(t.rtnl, t.tap, GuestSide::kTap, rules)));
    for (const bool has_ipv4 : {true, false}) {
      rules.ethertypes = ethertypes_for(has_ipv4, true);
      ASSERT_TRUE(is_ok(replace_frame_filter(t.rtnl, t.tap, GuestSide::kTap, rules)));
      EXPECT_EQ(read_traffic_rules(t.rtnl, t.tap, GuestSide::kTap).value(), rules);
      EXPECT_EQ(read_hooks(t.rtnl, t.tap).value().egress.ethertypes, rules.ethertypes);
    }
  });
}

}  // namespace
}  // namespace tapferry
