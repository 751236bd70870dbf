// SPDX-License-Identifier: MIT
//
// The ioctls of netdevice(7) on real interfaces, in a network namespace of the test's own, and the texts of /proc.
#include "net/netdevice.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "base/syscall.h"
#include "net/netdevice_detail.h"
#include "net/netdevice_flags.h"
#include "net/netdevice_proc.h"
#include "net/tun.h"

namespace tapferry {
namespace {

in_addr ipv4(const char* text) {
  in_addr address;
  EXPECT_EQ(inet_pton(AF_INET, text, &address), 1);
  return address;
}

in6_addr ipv6(const char* text) {
  in6_addr address;
  EXPECT_EQ(inet_pton(AF_INET6, text, &address), 1);
  return address;
}

std::string text_of(in_addr address) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address, text, sizeof text);
}

// With the tap `tap7`, down, in a thread, which alone is in the new namespace and takes it along when it ends.
void with_tap(const std::function<void(const Netdevice&)>& test) {
  std::string why_not;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      why_not = "a network namespace of its own needs root";
      return;
    }
    auto tun = open_file("/dev/net/tun", O_RDWR);
    if (!tun.is_ok() || !create_tap(tun.value().get(), "tap7", {}).is_ok()) {
      why_not = "no tap can be made";
      return;
    }
    test(Netdevice::open().value());
  }).join();
  if (!why_not.empty()) GTEST_SKIP() << why_not;
}

TEST(Netdevice, NamesAndIndexesLeadToEachOther) {
  with_tap([](const Netdevice& device) {
    EXPECT_EQ(device.index_of("lo").value(), 1);
    const int index = device.index_of("tap7").value();
    EXPECT_EQ(device.name_of(index).value(), "tap7");
    EXPECT_EQ(device.name_of(index + 1000).error().code(), ENODEV);
    EXPECT_EQ(device.name_of(0).error().code(), ENODEV);
    EXPECT_EQ(device.name_of(-1).error().code(), ENODEV);
  });
}

TEST(Netdevice, NameThatIsNoneIsNeverCutToAnothers) {
  with_tap([](const Netdevice& device) {
    const std::string long_name = "a23456789012345";
    ASSERT_EQ(device.rename("tap7", long_name).value(), long_name);
    EXPECT_TRUE(device.mtu(long_name).is_ok());
    EXPECT_EQ(device.mtu(long_name + "6").error().code(), ENODEV);
    EXPECT_EQ(device.mtu(long_name + std::string(1, '\0')).error().code(), ENODEV);
    EXPECT_EQ(device.mtu(std::string("lo\0x", 4)).error().code(), ENODEV);
    EXPECT_EQ(device.mtu("").error().code(), ENODEV);
    EXPECT_EQ(device.mtu("lo:1").error().code(), EINVAL);
    EXPECT_EQ(device.index_of("lo:1").error().code(), EINVAL);
    EXPECT_EQ(device.set_mtu("lo:1", 1400).error().code(), EINVAL);
  });
}

TEST(Netdevice, IsRenamedOnlyWhileDown) {
  with_tap([](const Netdevice& device) {
    ASSERT_TRUE(device.change_flags("tap7", IFF_UP, IFF_UP).is_ok());
    const auto refused = device.rename("tap7", "new0");
    ASSERT_FALSE(refused.is_ok());
    EXPECT_EQ(refused.error().code(), EBUSY);
    EXPECT_EQ(refused.error().line(),
              "rename tap7 to new0: Device or resource busy (the interface is up); take it down first");
    EXPECT_TRUE(device.index_of("tap7").is_ok());
    ASSERT_TRUE(device.change_flags("tap7", IFF_UP, 0).is_ok());
    EXPECT_EQ(device.rename("tap7", "new%d").value(), "new0");
    EXPECT_EQ(device.rename("new0", "lo").error().code(), EEXIST);
    for (const char* name : {"", ".", "..", "a/b", "a:b", "a b", "1234567890123456"}) {
      EXPECT_EQ(device.rename("new0", name).error().code(), EINVAL) << name;
    }
  });
}

TEST(Netdevice, FlagsChangeOneByOne) {
  with_tap([](const Netdevice& device) {
    const unsigned before = device.flags("tap7").value();
    for (const InterfaceFlag& flag : interface_flags()) {
      const auto done = device.change_flags("tap7", flag.bit, flag.bit);
      EXPECT_EQ(done.is_ok(), flag.is_changeable) << flag.name;
      if (!flag.is_changeable) {
        EXPECT_EQ(done.error().code(), EOPNOTSUPP) << flag.name;
        continue;
      }
      EXPECT_TRUE(device.flags("tap7").value() & flag.bit) << flag.name;
      ASSERT_TRUE(device.change_flags("tap7", flag.bit, 0).is_ok()) << flag.name;
      EXPECT_FALSE(device.flags("tap7").value() & flag.bit) << flag.name;
    }
    EXPECT_EQ(device.flags("tap7").value() | IFF_MULTICAST | IFF_RUNNING, before | IFF_MULTICAST | IFF_RUNNING);
  });
}

TEST(Netdevice, NumbersAreReadAsWritten) {
  with_tap([](const Netdevice& device) {
    ASSERT_TRUE(device.set_mtu("tap7", 1400).is_ok());
    EXPECT_EQ(device.mtu("tap7").value(), 1400);
    EXPECT_EQ(device.set_mtu("tap7", -1).error().code(), EINVAL);
    ASSERT_TRUE(device.set_tx_queue_len("tap7", 77).is_ok());
    EXPECT_EQ(device.tx_queue_len("tap7").value(), 77);
    EXPECT_EQ(device.set_tx_queue_len("tap7", -1).error().code(), EINVAL);
    EXPECT_EQ(device.metric("tap7").value(), 0);
    EXPECT_EQ(device.set_metric("tap7", 1).error().code(), EOPNOTSUPP);
    EXPECT_EQ(device.map("tap7").value(), HardwareMap{});
    EXPECT_EQ(device.set_map("tap7", {.irq = 5}).error().code(), EOPNOTSUPP);
    EXPECT_EQ(device.private_flags("tap7").value(), std::nullopt);
    EXPECT_EQ(device.set_private_flags("tap7", 1).error().code(), EINVAL);
    EXPECT_EQ(device.private_flags("tap8").error().code(), ENODEV);
  });
}

TEST(Netdevice, HardwareAddressesKeepTheInterfacesType) {
  with_tap([](const Netdevice& device) {
    const Mac mac = *parse_mac("52:54:00:12:34:56");
    ASSERT_TRUE(device.set_hardware_address("tap7", {ARPHRD_ETHER, hardware_bytes(mac)}).is_ok());
    const HardwareAddress expected{ARPHRD_ETHER, hardware_bytes(mac)};
    EXPECT_EQ(device.hardware_address("tap7").value(), expected);
    EXPECT_EQ(device.set_hardware_address("tap7", {ARPHRD_LOOPBACK, expected.bytes}).error().code(), EINVAL);
    EXPECT_EQ(device.hardware_address("lo").value().type, ARPHRD_LOOPBACK);

    const Mac broadcast = *parse_mac("ff:ff:ff:ff:ff:00");
    ASSERT_TRUE(device.set_hardware_broadcast("tap7", {ARPHRD_ETHER, hardware_bytes(broadcast)}).is_ok());
    Rtnl rtnl = Rtnl::open().value();
    const NetdeviceDetail detail = read_netdevice_detail(rtnl, device.index_of("tap7").value()).value();
    EXPECT_EQ(detail.broadcast, std::vector<uint8_t>(broadcast.bytes.begin(), broadcast.bytes.end()));
    EXPECT_EQ(detail.address, std::vector<uint8_t>(mac.bytes.begin(), mac.bytes.end()));
    EXPECT_GT(detail.max_mtu, detail.min_mtu);
    EXPECT_EQ(read_netdevice_detail(rtnl, 4711).error().code(), ENODEV);
  });
}

TEST(Netdevice, MulticastAddressesComeAndGo) {
  with_tap([](const Netdevice& device) {
    const HardwareBytes group = hardware_bytes(*parse_mac("33:33:00:00:00:99"));
    const auto added = [&] {
      size_t count = 0;
      const std::vector<MulticastEntry> entries = read_multicast_entries().value();
      for (const MulticastEntry& entry : entries) {
        count += entry.is_added_globally && entry.index == device.index_of("tap7").value() ? 1 : 0;
      }
      return count;
    };
    EXPECT_EQ(device.delete_multicast("tap7", group).error().code(), ENOENT);
    EXPECT_TRUE(device.add_multicast("tap7", group).is_ok());
    EXPECT_TRUE(device.add_multicast("tap7", group).is_ok()) << "twice counts once";
    EXPECT_EQ(added(), 1u);
    EXPECT_TRUE(device.delete_multicast("tap7", group).is_ok());
    EXPECT_EQ(added(), 0u);
    EXPECT_EQ(device.delete_multicast("tap7", group).error().code(), ENOENT);
  });
}

TEST(Netdevice, AddressListHasAllHoweverMany) {
  with_tap([](const Netdevice& device) {
    EXPECT_TRUE(device.ipv4_addresses().value().empty());
    for (int i = 1; i <= 130; ++i) {
      const std::string label = "tap7:" + std::to_string(i);
      ASSERT_TRUE(device.set_ipv4_address(label, ipv4(("10.0.0." + std::to_string(i)).c_str())).is_ok());
      const auto list = device.ipv4_addresses().value();
      ASSERT_EQ(list.size(), static_cast<size_t>(i)) << "the kernel skips what doesn't fit without a word";
      ASSERT_EQ(list.back().label, label);
      ASSERT_EQ(list.back().interface(), "tap7");
      ASSERT_EQ(text_of(list.back().address), "10.0.0." + std::to_string(i));
    }
  });
}

TEST(Netdevice, Ipv4AddressHasItsParts) {
  with_tap([](const Netdevice& device) {
    EXPECT_EQ(device.ipv4_address("tap7").error().code(), EADDRNOTAVAIL);
    EXPECT_EQ(device.set_ipv4_netmask("tap7", ipv4("255.0.0.0")).error().code(), EADDRNOTAVAIL);
    ASSERT_TRUE(device.set_ipv4_address("tap7", ipv4("192.0.2.1")).is_ok());
    EXPECT_EQ(text_of(device.ipv4_netmask("tap7").value()), "255.255.255.0");
    ASSERT_TRUE(device.set_ipv4_netmask("tap7", ipv4("255.255.255.128")).is_ok());
    ASSERT_TRUE(device.set_ipv4_broadcast("tap7", ipv4("192.0.2.77")).is_ok());
    ASSERT_TRUE(device.set_ipv4_destination("tap7", ipv4("192.0.2.9")).is_ok());
    EXPECT_EQ(text_of(device.ipv4_address("tap7").value()), "192.0.2.1");
    EXPECT_EQ(text_of(device.ipv4_netmask("tap7").value()), "255.255.255.128");
    EXPECT_EQ(text_of(device.ipv4_broadcast("tap7").value()), "192.0.2.77");
    EXPECT_EQ(text_of(device.ipv4_destination("tap7").value()), "192.0.2.9");
    EXPECT_EQ(device.set_ipv4_netmask("tap7", ipv4("255.0.255.0")).error().code(), EINVAL);
    ASSERT_TRUE(device.set_ipv4_address("tap7", {}).is_ok());
    EXPECT_EQ(device.ipv4_address("tap7").error().code(), EADDRNOTAVAIL);
  });
}

TEST(Netdevice, OneOfSeveralAddressesIsMeantWhenItIsGiven) {
  with_tap([](const Netdevice& device) {
    ASSERT_TRUE(device.set_ipv4_address("tap7", ipv4("192.0.2.1")).is_ok());
    ASSERT_TRUE(device.set_ipv4_address("tap7:1", ipv4("10.0.0.1")).is_ok());
    EXPECT_EQ(text_of(device.ipv4_netmask("tap7:1").value()), "255.0.0.0");
    EXPECT_EQ(text_of(device.ipv4_netmask("tap7:1", ipv4("10.0.0.1")).value()), "255.0.0.0");
    EXPECT_EQ(text_of(device.ipv4_netmask("tap7", ipv4("192.0.2.1")).value()), "255.255.255.0");
  });
}

TEST(Netdevice, Ipv6AddressesComeAndGo) {
  with_tap([](const Netdevice& device) {
    if (access("/proc/net/if_inet6", F_OK) != 0) GTEST_SKIP() << "kernel: no IPv6";
    const int index = device.index_of("tap7").value();
    ASSERT_TRUE(Netdevice::add_ipv6_address(index, ipv6("2001:db8::1"), 64).is_ok());
    EXPECT_EQ(Netdevice::add_ipv6_address(index, ipv6("2001:db8::1"), 64).error().code(), EEXIST);
    const auto entries = read_ipv6_entries().value();
    ASSERT_EQ(entries.size(), 1u);
    EXPECT_EQ(entries[0].index, index);
    EXPECT_EQ(entries[0].prefix_len, 64u);
    EXPECT_EQ(memcmp(&entries[0].address, ipv6("2001:db8::1").s6_addr, 16), 0);
    ASSERT_TRUE(Netdevice::delete_ipv6_address(index, ipv6("2001:db8::1"), 64).is_ok());
    EXPECT_EQ(Netdevice::delete_ipv6_address(index, ipv6("2001:db8::1"), 64).error().code(), EADDRNOTAVAIL);
  });
}

TEST(Netdevice, WithoutTheCapabilityItReadsAndSaysWhatWritingNeeds) {
  with_tap([](const Netdevice& device) {
    // By the system call itself, so for this thread only: an effective uid that isn't 0 has no effective capability.
    ASSERT_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0);
    EXPECT_TRUE(device.mtu("tap7").is_ok());
    const auto refused = device.set_mtu("tap7", 1400);
    EXPECT_EQ(refused.error().code(), EPERM);
    EXPECT_NE(refused.error().hint().find("CAP_NET_ADMIN"), std::string::npos);
  });
}

// --- flags

TEST(InterfaceFlags, HaveTheManualsNames) {
  for (const char* name :
       {"up", "broadcast", "debug", "loopback", "pointopoint", "running", "noarp", "promisc", "notrailers", "allmulti",
        "master", "slave", "multicast", "portsel", "automedia", "dynamic", "lower_up", "dormant", "echo"}) {
    EXPECT_TRUE(interface_flag(name)) << name;
  }
  EXPECT_FALSE(interface_flag("UP"));
  EXPECT_FALSE(interface_flag(""));
  EXPECT_EQ(interface_flag_names(IFF_UP | IFF_ECHO | IFF_DYNAMIC | 1u << 31),
            (std::vector<std::string>{"up", "dynamic", "echo"}));
}

// --- /proc

constexpr const char* kHeadings = "Inter-|   Receive\n face |bytes\n";

TEST(ProcNetDev, IsReadColumnByColumn) {
  const auto read = parse_interface_counters(std::string(kHeadings) +
                                             "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                             "x:18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  ASSERT_TRUE(read.is_ok());
  ASSERT_EQ(read.value().size(), 2u);
  EXPECT_EQ(read.value()[0].name, "lo");
  EXPECT_EQ(read.value()[0].received, (ReceiveCounters{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(read.value()[0].sent, (TransmitCounters{9, 10, 11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(read.value()[1].name, "x");
  EXPECT_EQ(read.value()[1].received.bytes, UINT64_MAX);
}

TEST(ProcNetDev, MalformedLinesAreRefused) {
  EXPECT_TRUE(parse_interface_counters(kHeadings).value().empty());
  EXPECT_TRUE(parse_interface_counters("").value().empty());
  for (const char* line : {"lo", "lo:", ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "", " ",
                           "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
                           "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x", "lo: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
                           "lo: 18446744073709551616 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"}) {
    EXPECT_EQ(parse_interface_counters(std::string(kHeadings) + line + "\n").error().code(), EBADMSG) << line;
  }
}

TEST(ProcIfInet6, IsReadAsHexadecimal) {
  const auto read = parse_ipv6_entries("fe80000000000000dc37f7fffe7dd911 1a 40 20 80       v0\n");
  ASSERT_TRUE(read.is_ok());
  ASSERT_EQ(read.value().size(), 1u);
  const Ipv6Entry& entry = read.value()[0];
  EXPECT_EQ(entry.index, 26);
  EXPECT_EQ(entry.prefix_len, 64u);
  EXPECT_EQ(entry.scope, Ipv6Entry::kLinkScope);
  EXPECT_EQ(entry.flags, 0x80u);
  EXPECT_EQ(entry.address.s6_addr[0], 0xfe);
  EXPECT_EQ(entry.address.s6_addr[15], 0x11);
  for (const char* line :
       {"fe80 1a 40 20 80 v0", "fe80000000000000dc37f7fffe7dd911 1a 40 20 80",
        "fe80000000000000dc37f7fffe7dd9zz 1a 40 20 80 v0", "fe80000000000000dc37f7fffe7dd911 x 40 20 80 v0"}) {
    EXPECT_EQ(parse_ipv6_entries(line).error().code(), EBADMSG) << line;
  }
}

TEST(ProcDevMcast, IsRead) {
  const auto read = parse_multicast_entries("3    v0              2     1     333300112233\n");
  ASSERT_TRUE(read.is_ok());
  ASSERT_EQ(read.value().size(), 1u);
  const MulticastEntry& entry = read.value()[0];
  EXPECT_EQ(entry.index, 3);
  EXPECT_EQ(entry.users, 2u);
  EXPECT_TRUE(entry.is_added_globally);
  EXPECT_EQ(entry.address, (std::vector<uint8_t>{0x33, 0x33, 0x00, 0x11, 0x22, 0x33}));
  for (const char* line : {"3 v0 2 1", "3 v0 2 1 333", "x v0 2 1 3333", "3 v0 2 1 33gg"}) {
    EXPECT_EQ(parse_multicast_entries(line).error().code(), EBADMSG) << line;
  }
}

}  // namespace
}  // namespace tapferry
