// SPDX-License-Identifier: MIT
//
// What may be asked under a rule, and what a rule forces.
#include "helper/policy_fit.h"

#include "policy_case.h"

namespace tapferry {
namespace {

TEST(PolicyFit, WithoutARulesKeyOnlyTheDefaultFits) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on"},
      {"allow br0", "alice", "bridge=br0,queues=1", "allow 1"},
      {"allow br0", "alice", "bridge=br0,queues=2", "refuse"},
      {"allow br0", "alice", "bridge=br0,name=vm1", "refuse"},
      {"allow br0", "alice", "bridge=br0,mac=52:54:00:00:00:01", "refuse"},
      {"allow br0", "alice", "bridge=br0,mtu=1500", "refuse"},
      {"allow br0", "alice", "bridge=br0,vhost=on", "refuse"},
      {"allow br0", "alice", "bridge=br0,vhost=auto", "refuse"},
      {"allow br0", "alice", "bridge=br0,vhost=off", "allow 1"},
      {"allow br0", "alice", "bridge=br0,persist=on", "refuse"},
      {"allow br0", "alice", "bridge=br0,persist=off", "allow 1"},
      {"allow br0", "alice", "bridge=br0,guest_mac=52:54:00:00:00:01", "refuse"},
      {"allow br0", "alice", "bridge=br0,lock=on,guest_mac=52:54:00:00:00:01", "refuse"},
      {"allow macvtap=eth0", "alice", "macvtap=eth0,mode=bridge", "allow 1"},
      {"allow macvtap=eth0", "alice", "macvtap=eth0,mode=vepa", "refuse"},
      {"allow macvtap=eth0", "alice", "macvtap=eth0,mode=passthru", "refuse"},
      {"allow br0 max=9", "alice", "bridge=br0,queues=2", "refuse"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, SomeThingsAnybodyMayAsk) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0", "alice", "bridge=br0,vnet_hdr=off", "allow 1", "bridge=br0,vnet_hdr=off,up=on"},
      {"allow br0", "alice", "bridge=br0,vnet_hdr_sz=10", "allow 1", "bridge=br0,vnet_hdr_sz=10,up=on"},
      {"allow br0", "alice", "bridge=br0,up=off", "allow 1", "bridge=br0,up=off"},
      {"allow br0", "alice", "bridge=br0,isolated=on", "allow 1", "bridge=br0,up=on,isolated=on"},
      {"allow br0", "alice", "bridge=br0,isolated=off", "allow 1", "bridge=br0,up=on,isolated=off"},
      {"allow br0", "alice", "bridge=br0,lock=off", "allow 1", "bridge=br0,up=on,lock=off"},
      {"allow br0", "alice", "bridge=br0,filter=ipv4,arp", "allow 1", "bridge=br0,up=on,filter=ipv4,arp"},
      {"allow br0", "alice", "bridge=br0,filter=auto", "allow 1", "bridge=br0,up=on,filter=auto"},
      {"allow br0", "alice", "bridge=br0,rate_to=10mbit", "allow 1", "bridge=br0,up=on,rate_to=10mbit"},
      {"allow br0", "alice", "bridge=br0,rate_from=10mbit", "allow 1", "bridge=br0,up=on,rate_from=10mbit"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, KeysPermitUpToTheirBoundOrByTheirList) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0 queues=4", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on"},
      {"allow br0 queues=4", "alice", "bridge=br0,queues=4", "allow 1", "bridge=br0,queues=4,up=on"},
      {"allow br0 queues=4", "alice", "bridge=br0,queues=5", "refuse"},
      {"allow br0 queues=64", "alice", "bridge=br0,queues=64", "allow 1"},
      {"allow br0 name=vm1", "alice", "bridge=br0,name=vm1", "allow 1"},
      {"allow br0 name=vm1", "alice", "bridge=br0", "allow 1"},
      {"allow br0 name=vm1", "alice", "bridge=br0,name=vm10", "refuse"},
      {"allow br0 name=vm1,lan*", "alice", "bridge=br0,name=lan3", "allow 1"},
      {"allow br0 name=vm-*", "alice", "bridge=br0,name=vm-%d", "allow 1"},
      {"allow br0 name=vm-1*", "alice", "bridge=br0,name=vm-%d", "refuse"},
      {"allow br0 name=vm-*", "alice", "bridge=br0,name=%d", "refuse"},
      {"allow br0 name=*", "alice", "bridge=br0,name=%d", "allow 1"},
      {"allow br0 mac=52:54:00:00:00:01", "alice", "bridge=br0,mac=52:54:00:00:00:01", "allow 1"},
      {"allow br0 mac=52:54:00:00:00:01", "alice", "bridge=br0,mac=52:54:00:00:00:02", "refuse"},
      {"allow br0 mac=52:54:00:*", "alice", "bridge=br0,mac=52:54:00:FF:00:02", "allow 1"},
      {"allow br0 mac=52:54:00:A*", "alice", "bridge=br0,mac=52:54:00:af:00:02", "allow 1"},
      {"allow br0 mac=52:54:00:a*", "alice", "bridge=br0,mac=52:54:00:bf:00:02", "refuse"},
      {"allow br0 mac=52:54:00:*,02:*", "alice", "bridge=br0,mac=02:00:00:00:00:01", "allow 1"},
      {"allow br0 mac=*", "alice", "bridge=br0,mac=02:00:00:00:00:01", "allow 1"},
      {"allow br0 guest_mac=02:*", "alice", "bridge=br0,mac=02:00:00:00:00:01", "refuse"},
      {"allow br0 mtu=9000", "alice", "bridge=br0,mtu=9000", "allow 1"},
      {"allow br0 mtu=9000", "alice", "bridge=br0,mtu=68", "allow 1"},
      {"allow br0 mtu=9000", "alice", "bridge=br0,mtu=9001", "refuse"},
      {"allow br0 vhost=on", "alice", "bridge=br0,vhost=on", "allow 1"},
      {"allow br0 vhost=on", "alice", "bridge=br0,vhost=auto", "allow 1"},
      {"allow br0 vhost=on", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on"},
      {"allow br0 vhost=off", "alice", "bridge=br0,vhost=on", "refuse"},
      {"allow br0 persist=on", "alice", "bridge=br0,persist=on", "allow 1"},
      {"allow br0 persist=on", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on"},
      {"allow macvtap=eth0 mode=vepa", "alice", "macvtap=eth0,mode=vepa", "allow 1"},
      {"allow macvtap=eth0 mode=vepa", "alice", "macvtap=eth0", "refuse"},
      {"allow macvtap=eth0 mode=bridge,vepa", "alice", "macvtap=eth0", "allow 1"},
      {"allow macvtap=eth0 mode=bridge,vepa,private,source", "alice", "macvtap=eth0,mode=passthru", "refuse"},
      {"allow macvtap=eth0 mode=passthru", "alice", "macvtap=eth0,mode=passthru", "allow 1"},
      {"allow br0 guest_mac=02:*", "alice", "bridge=br0,guest_mac=02:00:00:00:00:01", "allow 1"},
      {"allow br0 guest_mac=02:*", "alice", "bridge=br0,guest_mac=06:00:00:00:00:01", "refuse"},
      {"allow br0 guest_mac=02:*", "alice", "bridge=br0", "allow 1"},
      {"allow br0 guest_mac=02:*", "alice", "bridge=br0,lock=on,guest_mac=02:00:00:00:00:01", "allow 1",
       "bridge=br0,up=on,guest_mac=02:00:00:00:00:01,lock=on"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, OpenVswitchsBridgesAreAllowedByThatNameOnly) {
  static constexpr PolicyCase kCases[] = {
      {"allow bridge=ovs:br0", "alice", "bridge=ovs:br0", "allow 1", "bridge=ovs:br0,up=on"},
      {"allow bridge=ovs:br*", "alice", "bridge=ovs:br0", "allow 1"},
      {"allow bridge=ovs:*", "alice", "bridge=ovs:br0", "allow 1"},
      {"allow bridge=ovs:br1", "alice", "bridge=ovs:br0", "refuse"},
      {"allow bridge=ovs:*", "alice", "bridge=br0", "refuse"},
      {"allow bridge=*", "alice", "bridge=ovs:br0", "refuse"},
      {"allow bridge=o*", "alice", "bridge=ovs:br0", "refuse"},
      {"allow bridge=ovs*", "alice", "bridge=ovs:br0", "refuse"},
      {"allow all", "alice", "bridge=ovs:br0", "refuse"},
      {"allow br0", "alice", "bridge=ovs:br0", "refuse"},
      {"allow bridge=ovs:br0 iface_id=vm-*", "alice", "bridge=ovs:br0,iface_id=vm-1", "allow 1"},
      {"allow bridge=ovs:br0 iface_id=vm-*", "alice", "bridge=ovs:br0", "allow 1"},
      {"allow bridge=ovs:br0 iface_id=vm-*", "alice", "bridge=ovs:br0,iface_id=db-1", "refuse"},
      {"allow bridge=ovs:br0 iface_id=*", "alice", "bridge=ovs:br0,iface_id=db-1", "allow 1"},
      {"allow bridge=ovs:br0", "alice", "bridge=ovs:br0,iface_id=vm-1", "refuse"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, AndDeniedByEveryDenyThatMayMeanThem) {
  static constexpr PolicyCase kCases[] = {
      {"allow bridge=ovs:br0\ndeny *", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny bridge=*", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny all", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny bridge=ovs:*", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny bridge=ovs:b*", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny bridge=ovs:br0", "alice", "bridge=ovs:br0", "deny 2"},
      {"allow bridge=ovs:br0\ndeny br0", "alice", "bridge=ovs:br0", "allow 1"},
      {"allow bridge=ovs:br0\ndeny bridge=ovs:br1", "alice", "bridge=ovs:br0", "allow 1"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, ForcedKeysFillWhatIsUnsaidAndBearOnlyStricter) {
  static constexpr PolicyCase kCases[] = {
      {"allow br0 up=off", "alice", "bridge=br0", "allow 1", "bridge=br0,up=off"},
      {"allow br0 up=off", "alice", "bridge=br0,up=off", "allow 1", "bridge=br0,up=off"},
      {"allow br0 up=off", "alice", "bridge=br0,up=on", "refuse"},
      {"allow br0 up=on", "alice", "bridge=br0,up=off", "allow 1", "bridge=br0,up=off"},
      {"allow br0 isolated=on", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on,isolated=on"},
      {"allow br0 isolated=on", "alice", "bridge=br0,isolated=on", "allow 1", "bridge=br0,up=on,isolated=on"},
      {"allow br0 isolated=on", "alice", "bridge=br0,isolated=off", "refuse"},
      {"allow br0 isolated=on", "alice", "--br=br0", "allow 1", "bridge=br0,vnet_hdr_sz=10,up=on,isolated=on"},
      {"allow br0 rate_to=100mbit", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on,rate_to=100mbit"},
      {"allow br0 rate_to=100mbit", "alice", "bridge=br0,rate_to=99mbit", "allow 1", "bridge=br0,up=on,rate_to=99mbit"},
      {"allow br0 rate_to=100mbit", "alice", "bridge=br0,rate_to=100000kbit", "allow 1"},
      {"allow br0 rate_to=100mbit", "alice", "bridge=br0,rate_to=1gbit", "refuse"},
      {"allow br0 rate_to=100mbit", "alice", "bridge=br0,rate_from=1gbit", "allow 1",
       "bridge=br0,up=on,rate_to=100mbit,rate_from=1gbit"},
      {"allow br0 rate_from=1mbit", "alice", "bridge=br0,rate_from=2mbit", "refuse"},
      {"allow br0 rate_from=1mbit", "alice", "--br=br0", "allow 1", "bridge=br0,vnet_hdr_sz=10,up=on,rate_from=1mbit"},
      {"allow br0 filter=ipv4,arp", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on,filter=ipv4,arp"},
      {"allow br0 filter=ipv4,arp", "alice", "bridge=br0,filter=arp", "allow 1", "bridge=br0,up=on,filter=arp"},
      {"allow br0 filter=ipv4,arp", "alice", "bridge=br0,filter=arp,ipv4", "allow 1"},
      {"allow br0 filter=ipv4,arp", "alice", "bridge=br0,filter=arp,ipv6", "refuse"},
      {"allow br0 filter=ipv4,arp", "alice", "bridge=br0,filter=auto", "refuse"},
      {"allow br0 filter=auto", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on,filter=auto"},
      {"allow br0 filter=auto", "alice", "bridge=br0,filter=auto", "allow 1"},
      {"allow br0 filter=auto", "alice", "bridge=br0,filter=ipv4", "refuse"},
      {"allow br0 filter=auto", "alice", "--br=br0", "refuse"},
      {"allow br0 filter=arp", "alice", "--br=br0", "allow 1", "bridge=br0,vnet_hdr_sz=10,up=on,filter=arp"},
      {"allow br0 lock=on guest_mac=02:*", "alice", "bridge=br0", "refuse"},
      {"allow br0 lock=on guest_mac=02:*", "alice", "bridge=br0,guest_mac=02:00:00:00:00:01", "allow 1",
       "bridge=br0,up=on,guest_mac=02:00:00:00:00:01,lock=on"},
      {"allow br0 lock=on guest_mac=02:*", "alice", "bridge=br0,lock=off,guest_mac=02:00:00:00:00:01", "refuse"},
      {"allow br0 lock=on guest_mac=02:*", "alice", "--br=br0", "refuse"},
      {"allow br0 lock=on", "alice", "bridge=br0,guest_mac=02:00:00:00:00:01", "refuse"},
      {"allow br0 lock=off guest_mac=*", "alice", "bridge=br0", "allow 1", "bridge=br0,up=on"},
  };
  check_cases(kCases);
}

TEST(PolicyFit, EveryReasonNamesTheKey) {
  struct {
    const char* policy;
    const char* request;
    const char* why;
  } static constexpr kCases[] = {
      {"allow br0", "bridge=br0,name=x", "name=x needs name= in the rule"},
      {"allow br0 name=vm*,lan", "bridge=br0,name=x", "name=x isn't among name=lan,vm*"},
      {"allow br0", "bridge=br0,mac=02:00:00:00:00:01", "mac=02:00:00:00:00:01 needs mac= in the rule"},
      {"allow br0", "bridge=br0,mtu=9000", "mtu=9000 needs mtu=9000 or more in the rule"},
      {"allow br0 mtu=1500", "bridge=br0,mtu=9000", "mtu=9000 exceeds mtu=1500"},
      {"allow br0", "bridge=br0,vhost=auto", "vhost=auto needs vhost=on in the rule"},
      {"allow br0", "bridge=br0,persist=on", "persist=on needs persist=on in the rule"},
      {"allow br0", "bridge=br0,guest_mac=02:00:00:00:00:01",
       "guest_mac=02:00:00:00:00:01 needs guest_mac= in the rule"},
      {"allow macvtap=e", "macvtap=e,mode=vepa", "mode=vepa needs mode=vepa in the rule"},
      {"allow macvtap=e mode=vepa,source", "macvtap=e", "mode=bridge isn't among mode=vepa,source"},
      {"allow br0 lock=on guest_mac=02:*", "bridge=br0",
       "lock=on is forced, so the request must say guest_mac=, one of 02:*"},
      {"allow br0 lock=on guest_mac=02:*", "bridge=br0,lock=off", "lock=on is forced, the request says lock=off"},
      {"allow br0 lock=on guest_mac=02:*", "--br=br0",
       "lock=on is forced, and needs the --net form: nobody stays to watch over an interface of the --br form"},
      {"allow br0 lock=on", "bridge=br0",
       "lock=on is forced and needs a guest_mac=, which needs guest_mac= in the rule"},
      {"allow br0 isolated=on", "bridge=br0,isolated=off", "isolated=on is forced, the request says isolated=off"},
      {"allow br0 up=off", "bridge=br0,up=on", "up=off is forced, the request says up=on"},
      {"allow br0 rate_to=1mbit", "bridge=br0,rate_to=2mbit",
       "rate_to=1mbit is forced, the request says rate_to=2mbit"},
      {"allow br0 filter=arp", "bridge=br0,filter=ipv4", "filter=arp is forced, the request says filter=ipv4"},
      {"allow br0 filter=auto", "--br=br0",
       "filter=auto is forced, and needs the --net form: nobody stays to follow the host's addresses for an interface "
       "of the --br form"},
      {"allow tap=vm*", "tap", "it is for tap=vm*; a tap without a name needs tap=*"},
      {"allow device=*", "device=/a/../b", "device= must be asked for by a plain path, without //, . and .."},
  };
  for (const auto& one : kCases) {
    const Verdict verdict = test_verdict(one.policy, "alice", one.request);
    EXPECT_FALSE(verdict.is_allowed) << one.policy;
    EXPECT_EQ(verdict.reason, "no rule allows it");
    EXPECT_EQ(verdict.traces.at(0).why, one.why);
  }
}

}  // namespace
}  // namespace tapferry
