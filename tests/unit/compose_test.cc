// SPDX-License-Identifier: MIT
#include "tools/compose.h"

#include <gtest/gtest.h>

#include "tools/guest_mac.h"

namespace tapferry {
namespace {

using Words = std::vector<std::string>;

std::vector<Nic> two_nics() {
  Nic first;
  first.ifname = "tap1";
  first.guest_mac = *parse_mac("52:54:00:00:00:01");
  first.fds = {3, 4};
  first.vhost_fds = {5, 6};
  Nic second;
  second.ifname = "tap2";
  second.guest_mac = *parse_mac("52:54:00:00:00:02");
  second.fds = {7};
  second.mtu = 9000;
  return {first, second};
}

std::string filled(const std::string& argument) { return fill_placeholders(Words{argument}, two_nics())[0]; }

TEST(Placeholders, AreFilledIn) {
  EXPECT_EQ(filled("{fds}"), "3:4");
  EXPECT_EQ(filled("{fds0}"), "3:4");
  EXPECT_EQ(filled("{fds1}"), "7");
  EXPECT_EQ(filled("{vhostfds}"), "5:6");
  EXPECT_EQ(filled("{vhostfds1}"), "");
  EXPECT_EQ(filled("a={mac},b={ifname1}{ifname}"), "a=52:54:00:00:00:01,b=tap2tap1");
  EXPECT_EQ(filled("{{fds}}"), "{3:4}");
}

TEST(Placeholders, WhatIsNoneStays) {
  for (const char* text : {"", "{}", "{", "}", "{fd}", "{fdsx}", "{fds01}", "{fds-1}", "{ fds}", "{FDS}", "{fds",
                           "fds}", "{macaddr}", "{fds99999999999999999999}"}) {
    EXPECT_EQ(filled(text), text);
    EXPECT_FALSE(has_placeholder(Words{text})) << text;
  }
  EXPECT_TRUE(has_placeholder(Words{"a", "x{mac7}"}));
}

TEST(Placeholders, ThatHaveNoInterfaceAreErrors) {
  const Spec plain = parse_spec("bridge=br0").value();
  const Spec vhost = parse_spec("bridge=br0,vhost=on").value();
  EXPECT_TRUE(check_placeholders(Words{"{fds}{mac1}"}, std::vector<Spec>{plain, plain}).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{fds}", "{mac1}"}, std::vector<Spec>{plain}).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{vhostfds}"}, std::vector<Spec>{plain}).is_ok());
  EXPECT_TRUE(check_placeholders(Words{"{vhostfds}"}, std::vector<Spec>{vhost}).is_ok());
}

TEST(Qemu, IsKnownByItsName) {
  for (const char* name : {"qemu-system-x86_64", "/usr/bin/qemu-system-aarch64", "/usr/libexec/qemu-kvm", "kvm"}) {
    EXPECT_TRUE(is_qemu(name)) << name;
  }
  for (const char* name : {"qemu-img", "qemu-x86_64", "/opt/qemu-system-x86/run", "kvmtool", "my-qemu-kvm", ""}) {
    EXPECT_FALSE(is_qemu(name)) << name;
  }
}

TEST(Qemu, GetsNetdevAndDeviceForEachInterface) {
  EXPECT_EQ(qemu_options(two_nics()), (Words{"-netdev", "tap,id=tapferry0,fds=3:4,vhost=on,vhostfds=5:6", "-device",
                                             "virtio-net-pci,netdev=tapferry0,mac=52:54:00:00:00:01,mq=on,vectors=6",
                                             "-netdev", "tap,id=tapferry1,fd=7", "-device",
                                             "virtio-net-pci,netdev=tapferry1,mac=52:54:00:00:00:02,host_mtu=9000"}));
}

TEST(Qemu, GetsOneDescriptorOfVhostNetForOneQueue) {
  Nic nic = two_nics()[1];
  nic.vhost_fds = {8};
  EXPECT_EQ(qemu_options(std::vector<Nic>{nic})[1], "tap,id=tapferry0,fd=7,vhost=on,vhostfd=8");
}

TEST(GuestMac, IsTheOneAskedForElseTheMacvtapsElseRandom) {
  const Mac own = *parse_mac("52:54:00:00:00:01");
  const Spec plain = parse_spec("macvtap=eth0").value();
  const Spec with_mac = parse_spec("macvtap=eth0,guest_mac=52:54:00:00:00:02").value();
  EXPECT_EQ(guest_mac(with_mac, own).value(), *with_mac.guest_mac);
  EXPECT_EQ(guest_mac(plain, own).value(), own);
  const Mac random = guest_mac(plain, std::nullopt).value();
  EXPECT_TRUE(to_string(random).starts_with("52:54:00:"));
  EXPECT_NE(guest_mac(plain, std::nullopt).value(), random);
}

}  // namespace
}  // namespace tapferry
