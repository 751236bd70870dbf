// SPDX-License-Identifier: MIT
//
// The words of `tapferry link set`.
#include "tools/link_changes.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if.h>

namespace tapferry {
namespace {

using Words = std::vector<std::string>;

template <typename T>
T only(const Words& words) {
  const auto changes = parse_changes(words);
  EXPECT_TRUE(changes.is_ok());
  EXPECT_EQ(changes.value().size(), 1u);
  EXPECT_TRUE(std::holds_alternative<T>(changes.value()[0]));
  return std::get<T>(changes.value()[0]);
}

std::string reason(const Words& words) {
  const auto changes = parse_changes(words);
  EXPECT_FALSE(changes.is_ok());
  return changes.is_ok() ? "" : changes.error().reason();
}

TEST(LinkChanges, KeepTheirOrder) {
  const auto changes = parse_changes(Words{"down", "name", "new0", "mtu", "1400", "up"});
  ASSERT_TRUE(changes.is_ok());
  ASSERT_EQ(changes.value().size(), 4u);
  EXPECT_FALSE(std::get<SetFlag>(changes.value()[0]).is_on);
  EXPECT_EQ(std::get<Rename>(changes.value()[1]).name, "new0");
  EXPECT_EQ(std::get<SetMtu>(changes.value()[2]).bytes, 1400);
  EXPECT_TRUE(std::get<SetFlag>(changes.value()[3]).is_on);
}

TEST(LinkChanges, AFlagIsSetByItsName) {
  EXPECT_EQ(only<SetFlag>({"promisc", "on"}).flag.bit, static_cast<unsigned>(IFF_PROMISC));
  EXPECT_FALSE(only<SetFlag>({"noarp", "off"}).is_on);
  EXPECT_TRUE(only<SetFlag>({"arp", "off"}).is_on) << "arp is the opposite of noarp";
  EXPECT_EQ(reason({"running", "on"}), "`running' is the kernel's own to change");
  EXPECT_EQ(reason({"running"}), "`running' is the kernel's own to change");
}

TEST(LinkChanges, MulticastIsAFlagAndAddresses) {
  EXPECT_EQ(only<SetFlag>({"multicast", "off"}).flag.bit, static_cast<unsigned>(IFF_MULTICAST));
  EXPECT_TRUE(only<ChangeMulticast>({"multicast", "add", "33:33:00:00:00:01"}).is_added);
  EXPECT_FALSE(only<ChangeMulticast>({"multicast", "delete", "33:33:00:00:00:01"}).is_added);
}

TEST(LinkChanges, AMapHasTheFieldsThatAreGiven) {
  const SetMap map = only<SetMap>({"map", "irq=5,base_addr=768"});
  EXPECT_EQ(map.irq, 5u);
  EXPECT_EQ(map.base_addr, 768u);
  EXPECT_FALSE(map.dma);
}

TEST(LinkChanges, AnIpv4AddressWithLengthIsAddressAndMask) {
  const auto changes = parse_changes(Words{"inet", "192.0.2.1/25"});
  ASSERT_TRUE(changes.is_ok());
  ASSERT_EQ(changes.value().size(), 2u);
  EXPECT_EQ(std::get<SetIpv4>(changes.value()[0]).address.s_addr, htonl(0xc0000201));
  EXPECT_EQ(std::get<SetIpv4>(changes.value()[1]).what, SetIpv4::What::kNetmask);
  EXPECT_EQ(std::get<SetIpv4>(changes.value()[1]).address.s_addr, htonl(0xffffff80));
  EXPECT_EQ(only<SetIpv4>({"inet", "none"}).address.s_addr, 0u);
  EXPECT_EQ(only<SetIpv4>({"netmask", "0.0.0.0"}).address.s_addr, 0u);
  EXPECT_EQ(only<SetIpv4>({"netmask", "255.255.255.255"}).address.s_addr, UINT32_MAX);
}

TEST(LinkChanges, AnIpv6AddressWantsItsLength) {
  const ChangeIpv6 change = only<ChangeIpv6>({"inet6", "add", "2001:db8::1/48"});
  EXPECT_EQ(change.prefix_len, 48u);
  EXPECT_EQ(change.address.s6_addr[15], 1);
  EXPECT_NE(reason({"inet6", "add", "2001:db8::1"}), "");
}

TEST(LinkChanges, AKeyIsGivenOnceUnlessItAdds) {
  EXPECT_EQ(reason({"mtu", "1400", "mtu", "1400"}), "`mtu' is given twice");
  EXPECT_EQ(reason({"promisc", "on", "promisc", "off"}), "`promisc' is given twice");
  EXPECT_TRUE(parse_changes(Words{"down", "up", "down"}).is_ok());
  EXPECT_TRUE(parse_changes(Words{"inet6", "add", "::1/128", "inet6", "delete", "::1/128"}).is_ok());
}

TEST(LinkChanges, EveryKeyWantsItsValue) {
  for (const char* key : {"mtu", "txqueuelen", "metric", "private-flags", "name", "address", "broadcast", "multicast",
                          "map", "inet", "netmask", "brdaddr", "dstaddr", "inet6", "promisc", "arp"}) {
    EXPECT_NE(reason({key}).find("' wants "), std::string::npos) << key;
    EXPECT_NE(reason({key, ""}).find("' wants "), std::string::npos) << key;
    EXPECT_NE(reason({key, "?/:\n"}).find("' wants "), std::string::npos) << key;
  }
}

}  // namespace
}  // namespace tapferry
