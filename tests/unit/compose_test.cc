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
  EXPECT_EQ(filled("fd=[{fdlist}] {fdlist1}"), "fd=[3,4] 7");
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
  EXPECT_TRUE(check_placeholders(Words{"{fds}{mac1}"}, std::vector<Spec>{plain, plain}, Way::kDescriptors).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{fds}", "{mac1}"}, std::vector<Spec>{plain}, Way::kDescriptors).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{vhostfds}"}, std::vector<Spec>{plain}, Way::kDescriptors).is_ok());
  EXPECT_TRUE(check_placeholders(Words{"{vhostfds}"}, std::vector<Spec>{vhost}, Way::kDescriptors).is_ok());
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

std::vector<Nic> vhost_user_nics() {
  std::vector<Nic> nics = two_nics();
  for (Nic& nic : nics) {
    nic.queues = nic.fds.size();
    nic.fds.clear();
    nic.vhost_fds.clear();
    nic.socket = "/run/x/" + nic.ifname;
  }
  return nics;
}

TEST(QemuWithVhostUser, GetsSharedMemoryAndChardevNetdevAndDeviceForEachInterface) {
  EXPECT_EQ(
      qemu_vhost_user_options(Words{"qemu-system-x86_64", "-enable-kvm", "-m", "512"}, vhost_user_nics(), true),
      (Words{"-object", "memory-backend-memfd,id=tapferry-memory,share=on,size=512M", "-machine",
             "memory-backend=tapferry-memory", "-chardev", "socket,id=tapferry0-socket,path=/run/x/tap1,reconnect=1",
             "-netdev", "vhost-user,id=tapferry0,chardev=tapferry0-socket,queues=2", "-device",
             "virtio-net-pci,netdev=tapferry0,mac=52:54:00:00:00:01,mq=on,vectors=6", "-chardev",
             "socket,id=tapferry1-socket,path=/run/x/tap2,reconnect=1", "-netdev",
             "vhost-user,id=tapferry1,chardev=tapferry1-socket,queues=1", "-device",
             "virtio-net-pci,netdev=tapferry1,mac=52:54:00:00:00:02,host_mtu=9000"}));
}

TEST(QemuWithVhostUser, HasAsMuchSharedMemoryAsMemory) {
  const auto size = [](const Words& words) {
    Words command = {"qemu-system-x86_64"};
    command.insert(command.end(), words.begin(), words.end());
    const std::string object = qemu_vhost_user_options(command, vhost_user_nics(), true)[1];
    return object.substr(object.rfind('=') + 1);
  };
  EXPECT_EQ(size({}), "128M");
  EXPECT_EQ(size({"-m", "1G"}), "1G");
  EXPECT_EQ(size({"-m", "2048"}), "2048M");
  EXPECT_EQ(size({"-m", "size=1.5G,slots=2,maxmem=4G"}), "1.5G");
  EXPECT_EQ(size({"-m", "64", "--m", "96"}), "96M");
}

TEST(QemuWithVhostUser, KeepsTheMemoryBackendThatItWasGiven) {
  const Words command = {"qemu-system-x86_64", "-object", "memory-backend-memfd,id=m,size=1G,share=on", "-M",
                         "q35,memory-backend=m"};
  EXPECT_EQ(qemu_vhost_user_options(command, vhost_user_nics(), true)[0], "-chardev");
}

TEST(QemuWithVhostUser, HasVectorsWithKvmOnly) {
  const auto has_vectors = [](const Words& words, bool has_kvm = true) {
    const Words options = qemu_vhost_user_options(words, vhost_user_nics(), has_kvm);
    EXPECT_EQ(options.back().find(",vectors=0,host_mtu=9000") == std::string::npos,
              options[9].find(",mq=on,vectors=0") == std::string::npos);
    return options[9].ends_with(",mq=on,vectors=6");
  };
  const std::string qemu = "qemu-system-x86_64";
  EXPECT_TRUE(has_vectors({qemu, "-enable-kvm"}));
  EXPECT_TRUE(has_vectors({qemu, "-accel", "kvm,dirty-ring-size=4096", "-accel", "tcg"}));
  EXPECT_TRUE(has_vectors({qemu, "-machine", "q35,accel=kvm:tcg"}));
  EXPECT_TRUE(has_vectors({"/usr/bin/qemu-kvm", "-m", "512"}));
  EXPECT_FALSE(has_vectors({qemu}));
  EXPECT_FALSE(has_vectors({qemu, "-accel", "tcg"}));
  EXPECT_FALSE(has_vectors({qemu, "-M", "pc,accel=tcg:kvm", "-drive", "file=/vm/kvm.img"}));
  EXPECT_FALSE(has_vectors({"qemu-kvm", "-accel", "tcg"}));
  // Named, and not to be had: the next one is taken.
  EXPECT_FALSE(has_vectors({qemu, "-accel", "kvm", "-accel", "tcg"}, false));
}

TEST(Placeholders, OfTheOtherWayAreErrors) {
  const std::vector<Spec> plain = {parse_spec("bridge=br0").value()};
  EXPECT_FALSE(check_placeholders(Words{"{fds}"}, plain, Way::kVhostUser).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{vhostfds}"}, plain, Way::kVhostUser).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{fdlist}"}, plain, Way::kVhostUser).is_ok());
  EXPECT_FALSE(check_placeholders(Words{"{socket}"}, plain, Way::kDescriptors).is_ok());
  EXPECT_TRUE(check_placeholders(Words{"{socket}{mac}{ifname}"}, plain, Way::kVhostUser).is_ok());
  EXPECT_EQ(fill_placeholders(Words{"{socket}:{socket1}"}, vhost_user_nics())[0], "/run/x/tap1:/run/x/tap2");
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
