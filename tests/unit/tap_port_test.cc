// SPDX-License-Identifier: MIT
#include "vhost/tap_port.h"

#include <array>
#include <climits>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/syscall.h"
#include "tests/unit/tc_case.h"

namespace tapferry {
namespace {

TEST(TapPort, QueueOfATapIsMadeReady) {
  TapCase::run([](TapCase& self) {
    ASSERT_TRUE(set_nonblocking(self.fd.get(), false).is_ok());
    TapCase::command("ip link set tap7 mtu 9000");
    int limit = 10000;
    ASSERT_EQ(ioctl(self.fd.get(), TUNSETSNDBUF, &limit), 0);
    const TapPort port = TapPort::open(std::move(self.fd)).value();
    EXPECT_EQ(port.ifname(), "tap7");
    EXPECT_EQ(port.mtu(), 9000u);
    EXPECT_TRUE(fcntl(port.fd(), F_GETFL) & O_NONBLOCK);
    ASSERT_TRUE(port.set_header_bytes(12).is_ok());
    EXPECT_EQ(describe_tap_queue(port.fd()).value().vnet_hdr_sz, 12u);
    ASSERT_EQ(ioctl(port.fd(), TUNGETSNDBUF, &limit), 0);
    EXPECT_EQ(limit, INT_MAX);
  });
}

TEST(TapPort, WhatIsNoTapWithVnetHeaderIsRefusedAndSaysWhatToDo) {
  const auto refusal = [](Fd fd) { return TapPort::open(std::move(fd)).error().line(); };
  EXPECT_NE(refusal(open_file("/dev/null", O_RDWR).value()).find("not a queue of a tap or macvtap"), std::string::npos);
  TapCase::run([&](TapCase&) {
    Fd bare = open_file("/dev/net/tun", O_RDWR).value();
    ASSERT_TRUE(create_tap(bare.get(), "tap8", {.vnet_hdr = false}).is_ok());
    EXPECT_EQ(refusal(std::move(bare)), "use tap8: it has no vnet header; hand it over with vnet_hdr=on");
    Fd tun = open_file("/dev/net/tun", O_RDWR).value();
    ifreq request = {};
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    ASSERT_EQ(ioctl(tun.get(), TUNSETIFF, &request), 0);
    EXPECT_NE(refusal(std::move(tun)).find("without Ethernet header"), std::string::npos);
  });
}

TEST(TapPort, OffloadsThatTheKernelTakesAreFoundAndSet) {
  TapCase::run([](TapCase& self) {
    const TapPort port = TapPort::open(std::move(self.fd)).value();
    const unsigned taken = port.offloads();
    EXPECT_EQ(taken & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), unsigned{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6});
    const unsigned uso = taken & (kTunUso4 | kTunUso6);
    EXPECT_TRUE(uso == 0 || uso == (kTunUso4 | kTunUso6));
    EXPECT_TRUE(port.set_offloads(taken).is_ok());
    EXPECT_FALSE(port.set_offloads(TUN_F_TSO4).is_ok()) << "segments need checksums";
  });
}

TEST(TapPort, MtuOfATapInAnotherNamespaceIsNotGuessed) {
  TapCase::run([](TapCase& self) {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    const Fd other = open_file("/dev/net/tun", O_RDWR).value();
    ASSERT_TRUE(create_tap(other.get(), "tap7", {.vnet_hdr = true}).is_ok());
    EXPECT_EQ(TapPort::open(std::move(self.fd)).value().mtu(), 0u) << "one of the same name isn't it";
  });
}

TEST(TapPort, QueuedFramesAreForgotten) {
  TapCase::run([](TapCase& self) {
    const TapPort port = TapPort::open(std::move(self.fd)).value();
    TapCase::command("ip addr add 192.0.2.1/24 dev tap7");
    TapCase::command("ip link set tap7 up");
    TapCase::command("ping -c 1 -W 0.1 192.0.2.2");  // asks for an address at least
    port.discard_queued();
    std::array<char, 100> bytes{};
    EXPECT_LT(read(port.fd(), bytes.data(), bytes.size()), 0);
    EXPECT_EQ(errno, EAGAIN);
  });
}

}  // namespace
}  // namespace tapferry
