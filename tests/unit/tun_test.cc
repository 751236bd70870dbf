// SPDX-License-Identifier: MIT
//
// Taps of real kernels, in a network namespace of the test's own.
#include "net/tun.h"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <set>

#include "base/syscall.h"
#include "net/link.h"
#include "tests/unit/own_network.h"

namespace tapferry {
namespace {

using test::in_own_network;

Fd tun_node() { return open_file("/dev/net/tun", O_RDWR | O_NONBLOCK).value(); }

TEST(Tap, IsMadeAsAskedAndGoesWithItsDescriptor) {
  in_own_network([] {
    Fd fd = tun_node();
    EXPECT_EQ(create_tap(fd.get(), "tap7", {.multi_queue = false, .vnet_hdr = true}).value(), "tap7");
    const TapQueue queue = describe_tap_queue(fd.get()).value();
    EXPECT_EQ(queue.ifname, "tap7");
    EXPECT_EQ(queue.flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    EXPECT_EQ(queue.vnet_hdr_sz, 10u);
    Rtnl rtnl = Rtnl::open().value();
    EXPECT_EQ(get_link(rtnl, "tap7").value().kind, "tun");
    fd.reset();
    EXPECT_EQ(get_link(rtnl, "tap7").error().code(), ENODEV);
  });
}

TEST(Tap, NameMayBeAPattern) {
  in_own_network([] {
    const Fd first = tun_node();
    const Fd second = tun_node();
    EXPECT_EQ(create_tap(first.get(), "vm%d", {}).value(), "vm0");
    EXPECT_EQ(create_tap(second.get(), "vm%d", {}).value(), "vm1");
  });
}

TEST(Tap, NameThatIsTakenIsNotAttachedTo) {
  in_own_network([] {
    const Fd first = tun_node();
    const Fd second = tun_node();
    ASSERT_TRUE(create_tap(first.get(), "tap7", {.multi_queue = true}).is_ok());
    EXPECT_EQ(create_tap(second.get(), "tap7", {.multi_queue = true}).error().code(), EBUSY);
    ASSERT_TRUE(attach_tap(second.get(), "tap7", {.multi_queue = true}).is_ok());
  });
}

TEST(Tap, NameThatIsTooLongIsNotCut) {
  in_own_network([] {
    const Fd fd = tun_node();
    EXPECT_EQ(create_tap(fd.get(), std::string(16, 'x'), {}).error().code(), ENAMETOOLONG);
    EXPECT_EQ(attach_tap(fd.get(), std::string(16, 'x'), {}).error().code(), ENAMETOOLONG);
  });
}

TEST(Tap, HeaderOwnerAndPersistenceCanBeSet) {
  in_own_network([] {
    const Fd fd = tun_node();
    ASSERT_TRUE(create_tap(fd.get(), "tap7", {.vnet_hdr = true}).is_ok());
    ASSERT_TRUE(set_vnet_hdr_sz(fd.get(), 12).is_ok());
    EXPECT_EQ(describe_tap_queue(fd.get()).value().vnet_hdr_sz, 12u);
    EXPECT_FALSE(set_vnet_hdr_sz(fd.get(), 3).is_ok());
    ASSERT_TRUE(set_tap_owner(fd.get(), 4242).is_ok());
    ASSERT_TRUE(set_tap_persistent(fd.get(), true).is_ok());
    Rtnl rtnl = Rtnl::open().value();
    const Link link = get_link(rtnl, "tap7").value();
    EXPECT_EQ(link.tap_owner, 4242u);
    EXPECT_TRUE(link.is_persistent_tap);
  });
}

TEST(Tap, OffloadsAreProbed) {
  in_own_network([] {
    const Fd fd = tun_node();
    ASSERT_TRUE(create_tap(fd.get(), "tap7", {.vnet_hdr = true}).is_ok());
    EXPECT_TRUE(accepts_offloads(fd.get(), TUN_F_CSUM | TUN_F_TSO4));
    EXPECT_FALSE(accepts_offloads(fd.get(), TUN_F_TSO4)) << "segments need checksums";
    EXPECT_FALSE(accepts_offloads(fd.get(), 1u << 30));
  });
}

TEST(Tap, DescriptorsWithoutOneSaySo) {
  in_own_network([] { EXPECT_EQ(describe_tap_queue(tun_node().get()).error().code(), EBADFD); });
  EXPECT_EQ(describe_tap_queue(open_file("/dev/null", O_RDWR).value().get()).error().code(), ENOTTY);
}

TEST(FreshTapName, IsValidAndDiffersByAttempt) {
  std::set<std::string> names;
  for (unsigned attempt = 0; attempt < 10; ++attempt) {
    const std::string name = fresh_interface_name("tap", attempt * 1000);
    EXPECT_TRUE(name.starts_with("tap"));
    EXPECT_LE(name.size(), 15u);
    names.insert(name);
  }
  EXPECT_EQ(names.size(), 10u);
}

}  // namespace
}  // namespace tapferry
