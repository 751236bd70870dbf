// SPDX-License-Identifier: MIT
//
// SPEC: what can be asked, what can't, and that printing it loses nothing.
#include "net/spec.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

std::string error_of(std::string_view text) {
  const Result<Spec> spec = parse_spec(text);
  return spec.is_ok() ? "parsed as " + to_string(spec.value()) : spec.error().line();
}

Spec spec_of(std::string_view text) {
  const Result<Spec> spec = parse_spec(text);
  EXPECT_TRUE(spec.is_ok()) << error_of(text);
  return spec.is_ok() ? spec.value() : Spec{};
}

TEST(Spec, KindsAndTheirObjects) {
  EXPECT_EQ(spec_of("bridge=br0").kind, Kind::kBridge);
  EXPECT_EQ(spec_of("bridge=br0").object, "br0");
  EXPECT_EQ(spec_of("tap").kind, Kind::kTap);
  EXPECT_EQ(spec_of("tap").object, "");
  EXPECT_EQ(spec_of("tap=vm-1").object, "vm-1");
  EXPECT_EQ(spec_of("macvtap=eth0").kind, Kind::kMacvtap);
  EXPECT_EQ(spec_of("device=/dev/tap7").object, "/dev/tap7");
  EXPECT_EQ(spec_of("device=macvtap0").kind, Kind::kDevice);
  EXPECT_EQ(spec_of("device=7").object, "7");
}

TEST(Spec, DefaultsAreWhatThePageSays) {
  const Spec spec = spec_of("bridge=br0");
  EXPECT_EQ(spec.queues, 1u);
  EXPECT_TRUE(spec.vnet_hdr);
  EXPECT_EQ(spec.vnet_hdr_sz, 12u);
  EXPECT_EQ(spec.vhost, VhostNet::kOff);
  EXPECT_EQ(spec.mode, MacvtapMode::kBridge);
  EXPECT_FALSE(spec.persist);
  // What a rule can force is unsaid, not defaulted.
  EXPECT_FALSE(spec.name || spec.up || spec.mac || spec.mtu || spec.guest_mac || spec.lock || spec.isolated ||
               spec.rate_to || spec.rate_from || spec.filter);
}

TEST(Spec, EveryKeyIsRead) {
  const Spec spec = spec_of(
      "bridge=br0,name=vm-%d,queues=64,vnet_hdr=on,vnet_hdr_sz=10,up=off,mac=52:54:00:AB:00:01,"
      "mtu=9000,vhost=auto,guest_mac=02:00:00:00:00:01,lock=on,isolated=off,rate_to=100mbit,"
      "rate_from=1gbit,filter=ipv6,ipv4,0x88cc,persist=on");
  EXPECT_EQ(spec.name, "vm-%d");
  EXPECT_EQ(spec.queues, 64u);
  EXPECT_EQ(spec.vnet_hdr_sz, 10u);
  EXPECT_EQ(spec.up, false);
  EXPECT_EQ(to_string(*spec.mac), "52:54:00:ab:00:01");
  EXPECT_EQ(spec.mtu, 9000u);
  EXPECT_EQ(spec.vhost, VhostNet::kAuto);
  EXPECT_EQ(to_string(*spec.guest_mac), "02:00:00:00:00:01");
  EXPECT_EQ(spec.lock, true);
  EXPECT_EQ(spec.isolated, false);
  EXPECT_EQ(spec.rate_to, 100000000u);
  EXPECT_EQ(spec.rate_from, 1000000000u);
  EXPECT_EQ(spec.filter->ethertypes, (std::vector<uint16_t>{0x0800, 0x86dd, 0x88cc}));
  EXPECT_TRUE(spec.persist);
  EXPECT_EQ(spec_of("macvtap=eth0,mode=passthru").mode, MacvtapMode::kPassthru);
  EXPECT_TRUE(spec_of("bridge=br0,filter=auto,queues=2").filter->is_auto);
  EXPECT_EQ(spec_of("bridge=ovs:br-int,iface_id=vm-1").object, "ovs:br-int");
  EXPECT_EQ(spec_of("bridge=ovs:br-int,iface_id=vm-1").iface_id, "vm-1");
}

TEST(Spec, PrintingAndParsingAgainGivesTheSame) {
  struct {
    const char* text;
    const char* printed;
  } static constexpr kCases[] = {
      {"bridge=br0", "bridge=br0"},
      {"tap", "tap"},
      {"tap=vm-1,queues=1,vnet_hdr=on,vhost=off,persist=off", "tap=vm-1"},
      {"bridge=br0,up=on,queues=2", "bridge=br0,queues=2,up=on"},
      {"bridge=br0,vnet_hdr=off", "bridge=br0,vnet_hdr=off"},
      {"macvtap=eth0,mode=vepa,mac=02:00:00:00:00:0A", "macvtap=eth0,mac=02:00:00:00:00:0a,mode=vepa"},
      {"device=/dev/tap7,rate_to=1500kbit", "device=/dev/tap7,rate_to=1500kbit"},
      {"bridge=ovs:br-int,iface_id=a:1,persist=on", "bridge=ovs:br-int,persist=on,iface_id=a:1"},
      {"bridge=br0,filter=arp,0x0800,persist=on", "bridge=br0,filter=ipv4,arp,persist=on"},
      {"bridge=br0,persist=on,lock=on,guest_mac=02:00:00:00:00:01,isolated=on",
       "bridge=br0,guest_mac=02:00:00:00:00:01,lock=on,isolated=on,persist=on"},
  };
  for (const auto& one : kCases) {
    const Spec spec = spec_of(one.text);
    EXPECT_EQ(to_string(spec), one.printed);
    EXPECT_EQ(spec_of(one.printed), spec);
  }
}

TEST(Spec, WhatCannotBeAskedIsRefusedWithTheKeyAtFault) {
  struct {
    const char* text;
    const char* what;
  } static constexpr kCases[] = {
      {"", "begins with none of bridge=, tap, macvtap=, device="},
      {"br0", "begins with none of"},
      {"Bridge=br0", "begins with none of"},
      {" bridge=br0", "begins with none of"},
      {"bridge", "bridge= needs an interface's name"},
      {"bridge=", "bridge= needs an interface's name"},
      {"tap=", "tap= needs a name"},
      {"macvtap", "macvtap= needs"},
      {"device=", "device= needs"},
      {"device=dev/tap7", "absolute path"},
      {"bridge=a/b", "can't be an interface's name"},
      {"bridge=.", "can't be an interface's name"},
      {"bridge=..", "can't be an interface's name"},
      {"bridge=a b", "can't be an interface's name"},
      {"bridge=a:b", "can't be an interface's name"},
      {"bridge=br0\n", "can't be an interface's name"},
      {"bridge=ovs:", "bridge=ovs: takes"},
      {"bridge=ovs:-br", "bridge=ovs: takes"},
      {"bridge=ovs:br;x", "bridge=ovs: takes"},
      {"bridge=ovs:ovs:br", "bridge=ovs: takes"},
      {"bridge=ovs:sixteen-bytes-00", "bridge=ovs: takes"},
      {"bridge=ovs:br,iface_id=", "iface_id= takes"},
      {"bridge=ovs:br,iface_id=-a", "iface_id= takes"},
      {"bridge=ovs:br,iface_id=a\"b", "iface_id= takes"},
      {"bridge=br0,iface_id=a", "iface_id= is for bridge=ovs:"},
      {"macvtap=ovs:br,iface_id=a", "can't be an interface's name"},
      {"tap,iface_id=a", "iface_id= is for bridge=ovs:"},
      {"bridge=ovs:br,isolated=on", "isolated= are a Linux bridge's"},
      {"bridge=ovs:br,lock=on,guest_mac=02:00:00:00:00:01", "a Linux bridge's"},
      {"bridge=ovs:br,rate_from=1mbit", "rates and filter="},
      {"bridge=ovs:br,filter=auto", "rates and filter="},
      {"bridge=ovs:br,name=a;b", "name= takes"},
      {"tap=vm%d", "without %"},
      {"bridge=br0,", "no key is named `'"},
      {"bridge=br0,,up=on", "no key is named `'"},
      {"bridge=br0,colour=red", "no key is named `colour'"},
      {"bridge=br0,Up=on", "no key is named `Up'"},
      {"bridge=br0,up", "up needs a value"},
      {"bridge=br0,up=", "up= takes on or off"},
      {"bridge=br0,up=yes", "up= takes on or off"},
      {"bridge=br0,up=on,up=on", "up= is there twice"},
      {"bridge=br0,queues=0", "queues= takes 1 to 64"},
      {"bridge=br0,queues=65", "queues= takes 1 to 64"},
      {"bridge=br0,queues=2x", "queues= takes 1 to 64"},
      {"bridge=br0,queues=+2", "queues= takes 1 to 64"},
      {"bridge=br0,queues=02", "queues= takes 1 to 64"},
      {"bridge=br0,queues=4294967298", "queues= takes 1 to 64"},
      {"bridge=br0,name=a/b", "name= takes"},
      {"bridge=br0,name=%d%d", "name= takes"},
      {"bridge=br0,name=%s", "name= takes"},
      {"bridge=br0,name=vm-\xff", "name= takes"},
      {"bridge=br0,name=vm-\xc2\x9b", "name= takes"},
      {"bridge=br0,name=abcdefghijklmnop", "name= takes"},
      {"bridge=br0,vnet_hdr_sz=11", "vnet_hdr_sz= takes 10 or 12"},
      {"bridge=br0,mtu=67", "mtu= takes"},
      {"bridge=br0,mtu=65522", "mtu= takes"},
      {"bridge=br0,mac=52:54:00:00:00", "mac= takes a unicast"},
      {"bridge=br0,mac=01:00:00:00:00:00", "mac= takes a unicast"},
      {"bridge=br0,mac=00:00:00:00:00:00", "mac= takes a unicast"},
      {"bridge=br0,mac=ff:ff:ff:ff:ff:ff", "mac= takes a unicast"},
      {"bridge=br0,guest_mac=x", "guest_mac= takes a unicast"},
      {"bridge=br0,vhost=maybe", "vhost= takes"},
      {"macvtap=eth0,mode=router", "mode= takes"},
      {"bridge=br0,rate_to=10", "rate_to= takes"},
      {"bridge=br0,rate_to=0mbit", "rate_to= takes"},
      {"bridge=br0,rate_to=1.5mbit", "rate_to= takes"},
      {"bridge=br0,rate_to=99999999tbit", "rate_to= takes"},
      {"bridge=br0,filter=", "filter= takes"},
      {"bridge=br0,filter=ipx", "filter= takes"},
      {"bridge=br0,filter=ipv4,ipv4", "filter= takes"},
      {"bridge=br0,filter=auto,ipv4", "filter= takes"},
      {"bridge=br0,filter=0x05ff", "filter= takes"},
      {"bridge=br0,filter=0x800", "filter= takes"},
      {"tap=vm-1,name=vm-2", "leave out name="},
      {"device=7,name=x", "leave out name="},
      {"bridge=br0,mode=vepa", "mode= is for macvtap="},
      {"tap,isolated=on", "isolated= is for bridge="},
      {"bridge=br0,lock=on", "lock=on needs guest_mac="},
      {"tap,lock=on,guest_mac=02:00:00:00:00:01", "lock= and guest_mac= are for"},
      {"tap=vm-1,guest_mac=02:00:00:00:00:01", "lock= and guest_mac= are for"},
      {"tap=vm-1,lock=on", "lock= and guest_mac= are for"},
      {"bridge=br0,vnet_hdr=off,vnet_hdr_sz=10", "vnet_hdr_sz= needs vnet_hdr=on"},
  };
  for (const auto& one : kCases) {
    EXPECT_NE(error_of(one.text).find(one.what), std::string::npos) << one.text << "\n" << error_of(one.text);
  }
  // The kernel's limit is 15 bytes (CVE-2019-13164).
  EXPECT_EQ(spec_of("bridge=abcdefghijklmno").object.size(), 15u);
  EXPECT_FALSE(parse_spec("bridge=abcdefghijklmnop").is_ok());
  EXPECT_FALSE(parse_spec(std::string_view("bridge=br0\0", 11)).is_ok());
}

TEST(Spec, HoldsAtMost1024Bytes) {
  std::string text = "device=/" + std::string(kMaxSpecLength - 8, 'x');
  EXPECT_TRUE(parse_spec(text).is_ok());
  text += 'x';
  EXPECT_NE(error_of(text).find("longer than 1024 bytes"), std::string::npos);
}

TEST(Spec, NamesThatNoRuleCanHaveAreNotAskedFor) {
  for (const char* text : {"tap=a=b", "bridge=a=b", "macvtap=a=b", "device=a=b", "device=/dev/x=y"}) {
    EXPECT_NE(error_of(text).find("a name with , or = can't be asked for"), std::string::npos) << text;
  }
  EXPECT_NE(error_of("tap,name=x=y"), "");
}

TEST(Spec, RatesPrintInTheLargestUnitThatDivides) {
  EXPECT_EQ(parse_rate("1000kbit"), 1000000u);
  EXPECT_EQ(rate_to_string(1000000), "1mbit");
  EXPECT_EQ(rate_to_string(1500000), "1500kbit");
  EXPECT_EQ(rate_to_string(7), "7bit");
  EXPECT_EQ(rate_to_string(2000000000000), "2tbit");
  EXPECT_EQ(parse_rate("8kbit"), 8000u);
  EXPECT_FALSE(parse_rate("7999bit").has_value());
  EXPECT_FALSE(parse_rate("mbit").has_value());
  EXPECT_FALSE(parse_rate("18446744073709551616bit").has_value());
}

}  // namespace
}  // namespace tapferry
