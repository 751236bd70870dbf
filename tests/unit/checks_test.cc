// SPDX-License-Identifier: MIT
#include "tools/checks.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>

#include "tools/report.h"

namespace tapferry {
namespace {

using Names = std::vector<std::string>;

// What our helper hands over for bridge=br0 to uid 1000.
Facts right_facts() {
  Facts facts;
  facts.wait_status = 0;
  facts.bytes = 200;
  Grant grant;
  grant.ifname = "tap7";
  grant.ifindex = 9;
  grant.upper = "br0";
  grant.mac = *parse_mac("fe:00:00:00:00:01");
  grant.mtu = 1500;
  grant.rule = "policy.conf:1";
  facts.record = grant;
  FdFacts fd;
  fd.kind = "tap queue";
  fd.is_tap = fd.is_nonblocking = fd.is_cloexec = true;
  fd.queue = {"tap7", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 12};
  facts.fds = {fd};
  InterfaceFacts interface;
  interface.link.index = 9;
  interface.link.name = "tap7";
  interface.link.kind = "tun";
  interface.link.flags = IFF_UP;
  interface.link.mtu = 1500;
  interface.link.mac = grant.mac;
  interface.link.tap_owner = 1000;
  interface.link.alias = "tapferry uid=1000 kind=bridge upper=br0 since=1 rule=policy.conf:1";
  interface.master = "br0";
  interface.master_mtu = 1500;
  facts.interface = interface;
  return facts;
}

Asked asked_by_net(std::string_view spec = "bridge=br0") {
  Asked asked;
  asked.spec = parse_spec(spec).value();
  asked.uid = 1000;
  return asked;
}

Names wrong(const Asked& asked, const Facts& facts) {
  Names names;
  for (const Check& check : check_facts(asked, facts)) {
    if (check.result == CheckResult::kWrong) names.push_back(check.property);
  }
  return names;
}

TEST(Checks, FindNothingWrongWithWhatIsRight) {
  EXPECT_EQ(wrong(asked_by_net(), right_facts()), Names{});
  EXPECT_TRUE(is_all_right(check_facts(asked_by_net(), right_facts())));
}

TEST(Checks, NameTheRowThatIsWrong) {
  const auto with = [](const std::function<void(Facts&)>& change, std::string_view spec = "bridge=br0") {
    Facts facts = right_facts();
    change(facts);
    return wrong(asked_by_net(spec), facts);
  };
  EXPECT_EQ(with([](Facts& f) { f.wait_status = 256; }), Names{"helper's end"});
  EXPECT_EQ(with([](Facts& f) { f.trailing_bytes = 1; }), Names{"behind it"});
  EXPECT_EQ(with([](Facts& f) { f.is_truncated = true; }), Names{"behind it"});
  EXPECT_EQ(with([](Facts& f) { f.record.reset(); }), Names{"record"});
  EXPECT_EQ(with([](Facts& f) { f.fds[0].is_nonblocking = false; }), Names{"fd 0 O_NONBLOCK"});
  EXPECT_EQ(with([](Facts& f) { f.fds[0].is_cloexec = false; }), Names{"fd 0 FD_CLOEXEC"});
  EXPECT_EQ(with([](Facts& f) { f.fds[0].queue.ifname = "tap8"; }), Names{"fd 0 interface"});
  EXPECT_EQ(with([](Facts& f) { f.fds[0].queue.vnet_hdr_sz = 10; }), Names{"fd 0 vnet header"});
  EXPECT_EQ(with([](Facts& f) { f.fds[0].queue.flags |= IFF_PERSIST; }), Names{"fd 0 flags"});
  EXPECT_EQ(with([](Facts& f) { f.interface.reset(); }), Names{"interface"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.index = 10; }), Names{"index"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.kind = "macvtap"; }), Names{"type"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.flags = 0; }), Names{"up"});
  EXPECT_EQ(with([](Facts& f) { f.interface->master_mtu = 9000; }), Names{"MTU"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.mac.bytes[0] = 0x52; }), Names{"MAC"});
  EXPECT_EQ(with([](Facts& f) { f.interface->master = "br1"; }), Names{"bridge"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.tap_owner.reset(); }), Names{"owner"});
  EXPECT_EQ(with([](Facts& f) { f.interface->link.alias = "tapferry uid=1001 kind=bridge"; }), Names{"tag"});
  EXPECT_EQ(with([](Facts&) {}, "bridge=br0,queues=2"), (Names{"descriptors", "fd 0 flags"}));
  EXPECT_EQ(with([](Facts&) {}, "bridge=br0,mac=52:54:00:00:00:01"), Names{"MAC"});
  EXPECT_EQ(with([](Facts&) {}, "bridge=br0,mtu=1400"), Names{"MTU"});
  EXPECT_EQ(with([](Facts&) {}, "bridge=br0,up=off"), Names{"up"});
  EXPECT_EQ(with([](Facts&) {}, "bridge=br0,vnet_hdr=off"), (Names{"fd 0 flags", "fd 0 vnet header"}));
}

// What our helper hands over for macvtap=eth0.
Facts macvtap_facts() {
  Facts facts = right_facts();
  facts.record->kind = Kind::kMacvtap;
  facts.record->upper = "eth0";
  facts.fds[0].kind = "macvtap queue";
  InterfaceFacts& interface = *facts.interface;
  interface.link.kind = "macvtap";
  interface.link.tap_owner.reset();
  interface.link.alias = "tapferry uid=1000 kind=macvtap upper=eth0 since=1 rule=policy.conf:1";
  interface.master.clear();
  interface.master_mtu = 0;
  interface.lower = "eth0";
  interface.lower_mtu = 1500;
  interface.mode = "bridge";
  return facts;
}

TEST(Checks, MacvtapHasAParentAndNoOwner) {
  Facts facts = macvtap_facts();
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth1"), facts), Names{"parent"});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,mode=vepa"), facts), Names{"mode"});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,guest_mac=52:54:00:00:00:01"), facts), Names{"MAC"});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,guest_mac=fe:00:00:00:00:01"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("tap"), facts), (Names{"fd 0 kind", "type", "owner"}));
  facts.interface->lower_mtu = 9000;
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0"), facts), Names{"MTU"});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,mtu=1500"), facts), Names{});
  facts.interface->link.alias.clear();
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,mtu=1500"), facts), Names{"tag"});
  EXPECT_EQ(wrong(asked_by_net("device=tap7"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("device=tap7,up=off"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("macvtap=eth0,mtu=1500"), right_facts()), (Names{"fd 0 kind", "type", "bridge"}));
}

TEST(Checks, VhostNetComesBehindTheQueues) {
  Facts facts = right_facts();
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=auto"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=on"), facts), (Names{"descriptors", "of vhost-net"}));
  FdFacts vhost;
  vhost.kind = "vhost-net";
  vhost.is_nonblocking = vhost.is_cloexec = true;
  vhost.vhost_features = 1;
  facts.record->vhost = 1;
  facts.fds.push_back(vhost);
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=on"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=auto"), facts), Names{});
  EXPECT_EQ(wrong(asked_by_net("bridge=br0"), facts), (Names{"descriptors", "fd 1 kind"}));
  facts.fds[1].is_nonblocking = false;
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=on"), facts), Names{"fd 1 O_NONBLOCK"});
  facts.fds[1].kind = "/dev/null";
  facts.fds[1].is_nonblocking = true;
  facts.fds[1].vhost_features.reset();
  EXPECT_EQ(wrong(asked_by_net("bridge=br0,vhost=auto"), facts), (Names{"of vhost-net", "fd 1 kind"}));
}

TEST(Checks, FeaturesOfVhostNetHaveNames) {
  EXPECT_EQ(vhost_feature_names(0), Names{});
  EXPECT_EQ(vhost_feature_names(1ull << 15 | 1ull << 32), (Names{"mrg_rxbuf", "version_1"}));
  EXPECT_EQ(vhost_feature_names(1ull | 1ull << 63), (Names{"bit 0", "bit 63"}));
}

TEST(Checks, RuleThatForcesTheInterfaceDownIsNotWrong) {
  Facts facts = right_facts();
  facts.record->up = false;
  facts.interface->link.flags = 0;
  EXPECT_EQ(wrong(asked_by_net(), facts), Names{});
}

TEST(Checks, QemusFormIsAnotherThing) {
  Asked asked;
  asked.form = Asked::Form::kBridge;
  asked.spec.object = "br0";
  Facts facts = right_facts();
  EXPECT_EQ(wrong(asked, facts), (Names{"message", "fd 0 O_NONBLOCK", "fd 0 vnet header"}));
  facts.record.reset();
  facts.text = std::string(1, '\0');
  facts.bytes = 1;
  facts.fds[0].is_nonblocking = false;
  facts.fds[0].queue.vnet_hdr_sz = 10;
  facts.interface->link.tap_owner.reset();
  facts.interface->link.alias.clear();
  EXPECT_EQ(wrong(asked, facts), Names{});
}

TEST(Checks, FromAStrangerLittleIsAsked) {
  Asked asked;
  asked.form = Asked::Form::kListen;
  Facts facts;
  facts.bytes = 3;
  facts.fds.resize(1);
  facts.fds[0].kind = "pipe";
  facts.fds[0].is_cloexec = true;
  EXPECT_EQ(wrong(asked, facts), Names{});
  facts.trailing_fds = 1;
  EXPECT_EQ(wrong(asked, facts), Names{"behind it"});
}

TEST(Report, TableHasARowForEachCheckAndASum) {
  const auto checks = check_facts(asked_by_net(), right_facts());
  const std::string table = report_table(checks);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), static_cast<ptrdiff_t>(checks.size()) + 2);
  EXPECT_TRUE(table.starts_with("PROPERTY"));
  EXPECT_TRUE(table.ends_with("all as asked\n"));
  Facts facts = right_facts();
  facts.interface->link.alias = "\x1b[2J";
  const std::string bad = report_table(check_facts(asked_by_net(), facts));
  EXPECT_TRUE(bad.ends_with("1 WRONG\n"));
  EXPECT_EQ(bad.find('\x1b'), std::string::npos);
}

TEST(Report, JsonIsOneLine) {
  const std::string json = report_json(right_facts(), check_facts(asked_by_net(), right_facts()));
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 1);
  EXPECT_NE(json.find("\"ok\":true"), std::string::npos);
  EXPECT_NE(json.find("\"record\":{\"version\":1"), std::string::npos);
}

}  // namespace
}  // namespace tapferry
