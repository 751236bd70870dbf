// SPDX-License-Identifier: MIT
//
// The monitor's table: what a message changes, and what reading everything again finds.
#include "net/link_monitor_table.h"

#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "tests/unit/netlink_message.h"

namespace tapferry {
namespace {

using Kind = LinkChange::Kind;

Link link(int index, const std::string& name) {
  Link made;
  made.index = index;
  made.name = name;
  made.kind = "veth";
  made.mtu = 1500;
  made.flags = IFF_BROADCAST;
  return made;
}

RtnlRequest link_message(uint16_t type, const Link& of, int family = AF_UNSPEC) {
  RtnlRequest built(type, 0);
  auto* info = built.family_header<ifinfomsg>();
  info->ifi_family = static_cast<unsigned char>(family);
  info->ifi_index = of.index;
  info->ifi_flags = of.flags;
  built.put_string(IFLA_IFNAME, of.name);
  built.put_u32(IFLA_MTU, of.mtu);
  built.put_bytes(IFLA_ADDRESS, of.mac.bytes.data(), of.mac.bytes.size());
  if (of.master != 0) built.put_u32(IFLA_MASTER, static_cast<uint32_t>(of.master));
  nlattr* nest = built.begin_nest(IFLA_LINKINFO);
  built.put_string(IFLA_INFO_KIND, of.kind);
  built.end_nest(nest);
  nest = built.begin_nest(IFLA_PROP_LIST);
  for (const std::string& altname : of.altnames) built.put_string(IFLA_ALT_IFNAME, altname);
  built.end_nest(nest);
  as_message(built);
  return built;
}

RtnlRequest address_message(uint16_t type, int ifindex, const char* text, unsigned prefix_length) {
  RtnlRequest built(type, 0);
  auto* info = built.family_header<ifaddrmsg>();
  const IpAddress address = *parse_ip(text);
  info->ifa_family = address.is_v6 ? AF_INET6 : AF_INET;
  info->ifa_prefixlen = static_cast<uint8_t>(prefix_length);
  info->ifa_index = static_cast<uint32_t>(ifindex);
  built.put_bytes(IFA_ADDRESS, address.view().data(), address.view().size());
  as_message(built);
  return built;
}

class Table : public testing::Test {
 protected:
  std::optional<LinkChange> hear(RtnlRequest message) { return table_.apply(message.header()); }
  std::optional<LinkChange> hear(const Link& link) { return hear(link_message(RTM_NEWLINK, link)); }

  LinkTable table_;
};

TEST_F(Table, FirstWordOfAnInterfaceAddsItAndTheSameAgainIsNothing) {
  const auto added = hear(link(7, "v0"));
  EXPECT_EQ(added->kind, Kind::kAdded);
  EXPECT_EQ(added->state.link.name, "v0");
  EXPECT_EQ(added->state.link.kind, "veth");
  EXPECT_FALSE(hear(link(7, "v0")));
  EXPECT_EQ(table_.all().size(), 1u);
}

struct OneChange {
  const char* name;
  void (*make)(Link*);
  std::vector<Aspect> aspects;
};

class Difference : public testing::TestWithParam<OneChange> {};

TEST_P(Difference, IsTold) {
  LinkTable table;
  Link before = link(7, "v0");
  table.apply(link_message(RTM_NEWLINK, before).header());
  Link after = before;
  GetParam().make(&after);
  const auto change = table.apply(link_message(RTM_NEWLINK, after).header());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, Kind::kChanged);
  Aspects wanted;
  for (const Aspect aspect : GetParam().aspects) wanted.add(aspect, true);
  EXPECT_EQ(change->aspects, wanted);
  EXPECT_EQ(change->before.link.name, "v0");
  EXPECT_EQ(change->state.link.flags, after.flags);
  EXPECT_FALSE(table.apply(link_message(RTM_NEWLINK, after).header())) << "once";
}

INSTANTIATE_TEST_SUITE_P(
    All, Difference,
    testing::Values(OneChange{"up", [](Link* link) { link->flags |= IFF_UP; }, {Aspect::kUp, Aspect::kFlags}},
                    OneChange{
                        "carrier", [](Link* link) { link->flags |= IFF_LOWER_UP; }, {Aspect::kCarrier, Aspect::kFlags}},
                    OneChange{"promisc", [](Link* link) { link->flags |= IFF_PROMISC; }, {Aspect::kFlags}},
                    OneChange{"flag_without_a_name", [](Link* link) { link->flags |= 1U << 25; }, {Aspect::kFlags}},
                    OneChange{"mtu", [](Link* link) { link->mtu = 9000; }, {Aspect::kMtu}},
                    OneChange{"mac", [](Link* link) { link->mac.bytes[5] = 1; }, {Aspect::kMac}},
                    OneChange{"master", [](Link* link) { link->master = 3; }, {Aspect::kMaster}},
                    OneChange{"name", [](Link* link) { link->name = "w0"; }, {Aspect::kName}},
                    OneChange{"altnames", [](Link* link) { link->altnames = {"x"}; }, {Aspect::kAltnames}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(Table, RemovalTellsTheLastStateOnce) {
  Link last = link(7, "v0");
  hear(last);
  last.mtu = 1400;
  hear(last);
  const auto removed = hear(link_message(RTM_DELLINK, last));
  EXPECT_EQ(removed->kind, Kind::kRemoved);
  EXPECT_EQ(removed->state.link.mtu, 1400u);
  EXPECT_FALSE(hear(link_message(RTM_DELLINK, last)));
  EXPECT_TRUE(table_.all().empty());
}

TEST_F(Table, ABridgesWordsOfItsPortsAreNoChangeOfThem) {
  hear(link(7, "v0"));
  Link port = link(7, "v0");
  port.mtu = 9;
  EXPECT_FALSE(hear(link_message(RTM_NEWLINK, port, AF_BRIDGE)));
  EXPECT_FALSE(hear(link_message(RTM_DELLINK, port, AF_BRIDGE)));
  EXPECT_EQ(table_.find(7)->link.mtu, 1500u);
}

TEST_F(Table, AWirelessEventIsNoState) {
  hear(link(7, "v0"));
  RtnlRequest event(RTM_NEWLINK, 0);
  event.family_header<ifinfomsg>()->ifi_index = 7;
  event.put_string(IFLA_IFNAME, "v0");
  event.put_bytes(IFLA_WIRELESS, "xxxx", 4);
  EXPECT_FALSE(hear(std::move(event)));
  EXPECT_EQ(table_.find(7)->link.mtu, 1500u);
}

TEST_F(Table, AddressesComeChangeAndGo) {
  hear(link(7, "v0"));
  EXPECT_FALSE(hear(address_message(RTM_NEWADDR, 8, "192.0.2.1", 24))) << "of an interface that isn't known";
  EXPECT_EQ(hear(address_message(RTM_NEWADDR, 7, "192.0.2.1", 24))->aspects, Aspects(Aspect::kAddresses));
  EXPECT_FALSE(hear(address_message(RTM_NEWADDR, 7, "192.0.2.1", 24)));
  EXPECT_EQ(hear(address_message(RTM_NEWADDR, 7, "192.0.2.1", 25))->state.addresses.size(), 2u) << "another mask";
  EXPECT_EQ(hear(address_message(RTM_NEWADDR, 7, "2001:db8::1", 64))->state.addresses.size(), 3u);
  RtnlRequest usable = address_message(RTM_NEWADDR, 7, "2001:db8::1", 64);
  usable.put_u32(IFA_FLAGS, IFA_F_PERMANENT);
  EXPECT_EQ(hear(std::move(usable))->state.addresses.size(), 3u) << "the same, other flags";
  EXPECT_EQ(hear(address_message(RTM_DELADDR, 7, "192.0.2.1", 24))->state.addresses.size(), 2u);
  EXPECT_FALSE(hear(address_message(RTM_DELADDR, 7, "192.0.2.1", 24)));
  Link changed = link(7, "v0");
  changed.mtu = 1400;
  EXPECT_EQ(hear(changed)->state.addresses.size(), 2u) << "a link's message leaves them";
}

TEST_F(Table, MediaStaysThroughOtherChanges) {
  hear(link(7, "v0"));
  Media media;
  media.speed_mbit = 1000;
  EXPECT_EQ(table_.set_media(7, media)->aspects, Aspects(Aspect::kSpeed));
  EXPECT_FALSE(table_.set_media(7, media));
  EXPECT_FALSE(table_.set_media(8, media));
  Link changed = link(7, "v0");
  changed.mtu = 1400;
  EXPECT_EQ(hear(changed)->state.media, media);
  EXPECT_TRUE(table_.replace({{7, InterfaceState{changed, {}, {}}}}).empty());
  EXPECT_EQ(table_.find(7)->media, media);
}

TEST_F(Table, ReadingEverythingAgainTellsWhatWentChangedAndCame) {
  hear(link(1, "gone"));
  hear(link(2, "same"));
  hear(link(3, "old"));
  hear(link(5, "veth"));
  Link of_other_kind = link(5, "bridge");
  of_other_kind.kind = "bridge";
  LinkTable::Interfaces fresh;
  for (const Link& now : {link(2, "same"), link(3, "new"), link(4, "came"), of_other_kind}) fresh[now.index].link = now;
  const auto changes = table_.replace(fresh);
  std::vector<std::pair<Kind, std::string>> told;
  for (const LinkChange& change : changes) told.emplace_back(change.kind, change.state.link.name);
  EXPECT_EQ(told, (std::vector<std::pair<Kind, std::string>>{{Kind::kRemoved, "gone"},
                                                             {Kind::kRemoved, "veth"},
                                                             {Kind::kChanged, "new"},
                                                             {Kind::kAdded, "came"},
                                                             {Kind::kAdded, "bridge"}}));
  EXPECT_TRUE(table_.replace(fresh).empty()) << "once";
}

TEST_F(Table, OrderOfAddressesAndAltnamesIsNoChange) {
  InterfaceState one;
  one.link = link(7, "v0");
  one.link.altnames = {"a", "b"};
  one.addresses.resize(2);
  one.addresses[0].local = *parse_ip("192.0.2.1");
  one.addresses[1].local = *parse_ip("192.0.2.2");
  InterfaceState other = one;
  std::swap(other.addresses[0], other.addresses[1]);
  std::swap(other.link.altnames[0], other.link.altnames[1]);
  EXPECT_TRUE(differences(one, other).is_empty());
}

TEST_F(Table, SurvivesWhatIsNoMessage) {
  Link whole = link(7, "v0");
  whole.altnames = {"one", "another"};
  whole.master = 3;
  RtnlRequest message = link_message(RTM_NEWLINK, whole);
  parse_mangled(message.header(), [this](const nlmsghdr* header) { std::ignore = table_.apply(header); });
  EXPECT_NE(table_.find(7), nullptr);
  RtnlRequest address = address_message(RTM_NEWADDR, 7, "2001:db8::1", 64);
  parse_mangled(address.header(), [this](const nlmsghdr* header) { std::ignore = table_.apply(header); });
  EXPECT_FALSE(table_.find(7)->addresses.empty());
}

}  // namespace
}  // namespace tapferry
