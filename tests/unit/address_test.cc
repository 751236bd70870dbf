// SPDX-License-Identifier: MIT
//
// Addresses out of rtnetlink's messages.
#include "net/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "tests/unit/netlink_message.h"

namespace tapferry {
namespace {

RtnlRequest message(uint16_t type, const char* local, const char* either, unsigned prefix_length, int ifindex = 7) {
  RtnlRequest built(type, 0);
  auto* info = built.family_header<ifaddrmsg>();
  const auto put = [&](uint16_t attribute, const char* text) {
    if (text == nullptr) return;
    const IpAddress address = *parse_ip(text);
    info->ifa_family = address.is_v6 ? AF_INET6 : AF_INET;
    built.put_bytes(attribute, address.view().data(), address.view().size());
  };
  put(IFA_ADDRESS, either);
  put(IFA_LOCAL, local);
  info->ifa_prefixlen = static_cast<uint8_t>(prefix_length);
  info->ifa_index = static_cast<uint32_t>(ifindex);
  as_message(built);
  return built;
}

std::string text_of(RtnlRequest built) {
  const auto address = parse_address(built.header());
  return address ? to_string(*address) : "nothing";
}

TEST(ParseAddress, TellsTheInterfacesOwnFromThePeers) {
  EXPECT_EQ(text_of(message(RTM_NEWADDR, "192.0.2.1", "192.0.2.1", 24)), "192.0.2.1/24");
  EXPECT_EQ(text_of(message(RTM_NEWADDR, "192.0.2.1", "192.0.2.9", 32)), "192.0.2.1 peer 192.0.2.9/32");
  EXPECT_EQ(text_of(message(RTM_NEWADDR, "192.0.2.1", nullptr, 8)), "192.0.2.1/8");
  EXPECT_EQ(text_of(message(RTM_DELADDR, nullptr, "2001:db8::1", 64)), "2001:db8::1/64");
  EXPECT_EQ(text_of(message(RTM_NEWADDR, "2001:db8::1", "2001:db8::2", 128)), "2001:db8::1 peer 2001:db8::2/128");
}

TEST(ParseAddress, HasIndexScopeAndAllFlags) {
  RtnlRequest built = message(RTM_NEWADDR, "192.0.2.1", nullptr, 24);
  static_cast<ifaddrmsg*>(mnl_nlmsg_get_payload(built.header()))->ifa_scope = RT_SCOPE_LINK;
  static_cast<ifaddrmsg*>(mnl_nlmsg_get_payload(built.header()))->ifa_flags = IFA_F_TENTATIVE;
  EXPECT_EQ(parse_address(built.header())->flags, static_cast<uint32_t>(IFA_F_TENTATIVE));
  built.put_u32(IFA_FLAGS, IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT);
  const InterfaceAddress address = *parse_address(built.header());
  EXPECT_EQ(address.ifindex, 7);
  EXPECT_EQ(address.scope, static_cast<unsigned>(RT_SCOPE_LINK));
  EXPECT_EQ(address.flags, static_cast<uint32_t>(IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT));
}

TEST(ParseAddress, TakesNothingElse) {
  EXPECT_EQ(text_of(message(RTM_NEWROUTE, "192.0.2.1", nullptr, 24)), "nothing");
  EXPECT_EQ(text_of(message(RTM_NEWADDR, nullptr, nullptr, 0)), "nothing") << "no address";
  EXPECT_EQ(text_of(message(RTM_NEWADDR, "192.0.2.1", nullptr, 33)), "nothing") << "too long a prefix";
  RtnlRequest other_family = message(RTM_NEWADDR, "192.0.2.1", nullptr, 24);
  static_cast<ifaddrmsg*>(mnl_nlmsg_get_payload(other_family.header()))->ifa_family = AF_BRIDGE;
  EXPECT_FALSE(parse_address(other_family.header()));
  RtnlRequest wrong_size = message(RTM_NEWADDR, "192.0.2.1", nullptr, 24);
  static_cast<ifaddrmsg*>(mnl_nlmsg_get_payload(wrong_size.header()))->ifa_family = AF_INET6;
  EXPECT_FALSE(parse_address(wrong_size.header())) << "4 bytes of IPv6";
}

TEST(ParseAddress, SurvivesWhatIsNoMessage) {
  RtnlRequest built = message(RTM_NEWADDR, "192.0.2.1", "192.0.2.9", 24);
  built.put_u32(IFA_FLAGS, IFA_F_PERMANENT);
  unsigned parsed = 0;
  parse_mangled(built.header(), [&](const nlmsghdr* header) {
    const auto address = parse_address(header);
    if (address) parsed += to_string(*address).size() > 8 ? 1 : 0;
  });
  EXPECT_GT(parsed, 0u);
}

TEST(SameAddress, IsWhatTheKernelTakesForOne) {
  const auto address = [](const char* text, unsigned prefix_length, const char* peer = nullptr) {
    InterfaceAddress made;
    made.ifindex = 7;
    made.local = *parse_ip(text);
    made.prefix_length = prefix_length;
    if (peer != nullptr) made.peer = parse_ip(peer);
    return made;
  };
  EXPECT_FALSE(is_same_address(address("192.0.2.1", 24), address("192.0.2.1", 25)));
  EXPECT_FALSE(is_same_address(address("192.0.2.1", 32), address("192.0.2.1", 32, "192.0.2.2")));
  EXPECT_FALSE(is_same_address(address("192.0.2.1", 24), address("192.0.2.2", 24)));
  EXPECT_TRUE(is_same_address(address("2001:db8::1", 64), address("2001:db8::1", 64, "2001:db8::2")));
  InterfaceAddress deprecated = address("192.0.2.1", 24);
  deprecated.flags = IFA_F_DEPRECATED;
  EXPECT_TRUE(is_same_address(address("192.0.2.1", 24), deprecated));
  InterfaceAddress elsewhere = address("192.0.2.1", 24);
  elsewhere.ifindex = 8;
  EXPECT_FALSE(is_same_address(address("192.0.2.1", 24), elsewhere));
}

}  // namespace
}  // namespace tapferry
