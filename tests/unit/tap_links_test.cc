// SPDX-License-Identifier: MIT
#include "net/tap_links.h"

#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>

#include "tests/unit/netlink_message.h"

namespace tapferry {
namespace {

struct Message {
  std::string kind = "tun";
  uint8_t tun_type = IFF_TAP;
  bool is_multi_queue = false;
  bool is_lower_elsewhere = false;
};

RtnlRequest message(const Message& of) {
  RtnlRequest built(RTM_NEWLINK, 0);
  built.family_header<ifinfomsg>()->ifi_index = 7;
  built.put_string(IFLA_IFNAME, "tap7");
  rtnl_link_stats64 stats = {};
  stats.rx_bytes = 1000;
  stats.rx_packets = 10;
  stats.rx_errors = 1;
  stats.rx_dropped = 2;
  stats.tx_bytes = 3000;
  stats.tx_packets = 30;
  stats.tx_errors = 3;
  stats.tx_dropped = 4;
  built.put_bytes(IFLA_STATS64, &stats, sizeof stats);
  if (of.is_lower_elsewhere) built.put_u32(IFLA_LINK_NETNSID, 0);
  nlattr* info = built.begin_nest(IFLA_LINKINFO);
  built.put_string(IFLA_INFO_KIND, of.kind);
  nlattr* data = built.begin_nest(IFLA_INFO_DATA);
  built.put_u8(IFLA_TUN_TYPE, of.tun_type);
  built.put_u8(IFLA_TUN_MULTI_QUEUE, of.is_multi_queue ? 1 : 0);
  built.put_u32(IFLA_TUN_NUM_QUEUES, 4);
  built.put_u32(IFLA_TUN_NUM_DISABLED_QUEUES, 2);
  built.end_nest(data);
  built.put_string(IFLA_INFO_SLAVE_KIND, "bridge");
  nlattr* port = built.begin_nest(IFLA_INFO_SLAVE_DATA);
  built.put_u8(IFLA_BRPORT_ISOLATED, 1);
  built.end_nest(port);
  built.end_nest(info);
  return built;
}

std::optional<TapLink> parse(const Message& of) {
  RtnlRequest built = message(of);
  return parse_tap_link(as_message(built));
}

TEST(TapLinks, HaveTheHostsCounters) {
  const auto tap = parse({});
  ASSERT_TRUE(tap);
  EXPECT_EQ(tap->link.name, "tap7");
  EXPECT_EQ(tap->received, (FrameCounters{1000, 10, 1, 2}));
  EXPECT_EQ(tap->sent, (FrameCounters{3000, 30, 3, 4}));
  ASSERT_TRUE(tap->port);
  EXPECT_EQ(tap->port->isolated, true);
}

TEST(TapLinks, QueuesAreToldOfATapThatMayHaveSeveral) {
  EXPECT_EQ(parse({})->queues, std::nullopt);
  EXPECT_EQ(parse({.is_multi_queue = true})->queues, 6);
}

TEST(TapLinks, AMacvtapsAttributesOfTheSameNumbersAreNoQueues) {
  const auto macvtap = parse({.kind = "macvtap", .is_multi_queue = true, .is_lower_elsewhere = true});
  ASSERT_TRUE(macvtap);
  EXPECT_EQ(macvtap->queues, std::nullopt);
  EXPECT_TRUE(macvtap->is_lower_elsewhere);
}

TEST(TapLinks, OthersAreNone) {
  EXPECT_FALSE(parse({.tun_type = IFF_TUN}));
  EXPECT_FALSE(parse({.kind = "veth"}));
  RtnlRequest address(RTM_NEWADDR, 0);
  address.family_header<ifinfomsg>();
  EXPECT_FALSE(parse_tap_link(as_message(address)));
}

TEST(TapLinks, MangledMessagesAreReadWithinTheirBounds) {
  RtnlRequest built = message({.is_multi_queue = true});
  parse_mangled(as_message(built), [](const nlmsghdr* header) { (void)parse_tap_link(header); });
}

}  // namespace
}  // namespace tapferry
