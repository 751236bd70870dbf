// SPDX-License-Identifier: MIT
#include "vhost/gso_probe.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>

#include "tests/unit/bridged_taps.h"

namespace tapferry {
namespace {

using test::Bytes;
using test::in_own_network;
using test::Interfaces;

// The kernel's word on a type, by a frame that is none: for comparison.
bool kernel_knows(int tap_fd, uint8_t type) {
  Bytes bytes(12 + 90);
  bytes[0] = 1;
  bytes[1] = type;
  bytes[4] = 200;
  bytes[6] = 54;
  bytes[8] = type == 5 ? 6 : 16;
  bytes[12 + 12] = 0x88;
  bytes[12 + 13] = 0xb5;
  return write(tap_fd, bytes.data(), bytes.size()) > 0;
}

TEST(GsoProbe, TellsWhatTheKernelTakes) {
  in_own_network([] {
    Interfaces interfaces;
    const Fd tap = interfaces.tap("tap0", true);
    const MergeTypes types = probe_gso(tap.get(), 12);
    EXPECT_TRUE(types.tcp4);
    EXPECT_TRUE(types.tcp6);
    EXPECT_EQ(types.udp, kernel_knows(tap.get(), 5));
  });
}

TEST(GsoProbe, SaysTheSameOfATapThatIsDown) {
  in_own_network([] {
    Interfaces interfaces;
    const Fd up = interfaces.tap("tap0", true);
    const Fd down = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK).value();
    ASSERT_TRUE(create_tap(down.get(), "tap1", {.multi_queue = false, .vnet_hdr = true}).is_ok());
    const MergeTypes of_up = probe_gso(up.get(), 12);
    const MergeTypes of_down = probe_gso(down.get(), 10);
    EXPECT_TRUE(of_down.tcp4);
    EXPECT_EQ(of_down.tcp6, of_up.tcp6);
    EXPECT_EQ(of_down.udp, of_up.udp);
  });
}

TEST(GsoProbe, SaysNothingWithoutVnetHeader) {
  in_own_network([] {
    Interfaces interfaces;
    const Fd tap = interfaces.tap("tap0", false);
    EXPECT_FALSE(probe_gso(tap.get(), 12).any()) << "such a tap takes every frame";
  });
}

TEST(GsoProbe, SaysNothingOfWhatIsNoTap) {
  const Fd null = open_file("/dev/null", O_RDWR).value();
  EXPECT_FALSE(probe_gso(null.get(), 12).any());
  EXPECT_FALSE(probe_gso(-1, 12).any());
}

// A packet socket that sees what arrives at an interface, before any protocol does.
Fd tapped(const std::string& name) {
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

// The probe's EtherType, and the other one of that kind.
bool is_experiment(const Bytes& frame) { return test::get16(frame, 12) == 0x88b5 || test::get16(frame, 12) == 0x88b6; }

TEST(GsoProbe, FramesStayBeforeTheBridge) {
  in_own_network([] {
    Interfaces interfaces;
    interfaces.bridge("br0");
    const Fd tap = interfaces.tap("tap0", true, "br0");
    const Fd other = interfaces.tap("tap1", false, "br0");
    const Fd at_port = tapped("tap0");
    const Fd at_bridge = tapped("br0");
    EXPECT_TRUE(probe_gso(tap.get(), 12).tcp4);
    // A frame after them does get through, so that those before would have, too.
    Bytes after(12 + 60);
    after[12] = 0xff;
    for (size_t i = 13; i < 18; ++i) after[i] = 0xff;
    after[18] = 2;
    after[24] = 0x88;
    after[25] = 0xb6;
    ASSERT_EQ(write(tap.get(), after.data(), after.size()), static_cast<ssize_t>(after.size()));
    const std::vector<Bytes> frames = test::frames_from(other.get(), 1, is_experiment);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(test::get16(frames[0], 12), 0x88b6u);
    EXPECT_EQ(test::frames_from(at_bridge.get(), 1, is_experiment).at(0), frames[0]);
    const Bytes probe = test::frames_from(at_port.get(), 1, is_experiment).at(0);
    EXPECT_EQ(test::get16(probe, 12), 0x88b5u);
    ifreq own = {};
    ASSERT_EQ(ioctl(tap.get(), SIOCGIFHWADDR, &own), 0);
    EXPECT_EQ(memcmp(&probe[6], own.ifr_hwaddr.sa_data, 6), 0) << "under the tap's own address";
    EXPECT_LE(probe.size(), 100u) << "an ordinary frame";
  });
}

}  // namespace
}  // namespace tapferry
