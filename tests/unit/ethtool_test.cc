// SPDX-License-Identifier: MIT
//
// Speed and duplex out of ethtool's messages.
#include "net/ethtool.h"

#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>

#include "tests/unit/netlink_message.h"

namespace tapferry {
namespace {

RtnlRequest message(uint8_t command, uint32_t ifindex, uint32_t speed_mbit, uint8_t duplex) {
  RtnlRequest built(30, 0);
  built.family_header<genlmsghdr>()->cmd = command;
  nlattr* nest = built.begin_nest(ETHTOOL_A_LINKMODES_HEADER);
  built.put_u32(ETHTOOL_A_HEADER_DEV_INDEX, ifindex);
  built.put_string(ETHTOOL_A_HEADER_DEV_NAME, "v0");
  built.end_nest(nest);
  built.put_u32(ETHTOOL_A_LINKMODES_SPEED, speed_mbit);
  built.put_u8(ETHTOOL_A_LINKMODES_DUPLEX, duplex);
  as_message(built);
  return built;
}

TEST(ParseMedia, HasSpeedAndDuplexOfAnswersAndNotifications) {
  for (const uint8_t command : {ETHTOOL_MSG_LINKMODES_GET_REPLY, ETHTOOL_MSG_LINKMODES_NTF}) {
    RtnlRequest built = message(command, 7, 2500, DUPLEX_HALF);
    const MediaMessage parsed = *parse_media(built.header());
    EXPECT_EQ(parsed.ifindex, 7);
    EXPECT_EQ(parsed.media.speed_mbit, 2500u);
    EXPECT_EQ(parsed.media.duplex, Duplex::kHalf);
  }
}

TEST(ParseMedia, KnowsWhatADriverDoesNotKnow) {
  RtnlRequest built = message(ETHTOOL_MSG_LINKMODES_NTF, 7, static_cast<uint32_t>(SPEED_UNKNOWN), DUPLEX_UNKNOWN);
  EXPECT_EQ(parse_media(built.header())->media, Media{});
}

TEST(ParseMedia, TakesNothingElse) {
  EXPECT_FALSE(parse_media(message(ETHTOOL_MSG_LINKINFO_NTF, 7, 100, DUPLEX_FULL).header()));
  EXPECT_FALSE(parse_media(message(ETHTOOL_MSG_LINKMODES_NTF, 0, 100, DUPLEX_FULL).header())) << "of no interface";
  RtnlRequest empty(30, 0);
  EXPECT_FALSE(parse_media(empty.header()));
}

TEST(ParseMedia, SurvivesWhatIsNoMessage) {
  unsigned parsed = 0;
  RtnlRequest built = message(ETHTOOL_MSG_LINKMODES_NTF, 7, 100, DUPLEX_FULL);
  parse_mangled(built.header(), [&](const nlmsghdr* header) { parsed += parse_media(header) ? 1 : 0; });
  EXPECT_GT(parsed, 0u);
}

}  // namespace
}  // namespace tapferry
