// SPDX-License-Identifier: MIT
#include "tools/doctor_user_nodes.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace tapferry {
namespace {

TEST(DoctorUserNodes, ANameIsTapAndAnIndex) {
  for (const char* name : {"tap1", "tap7001", "tap2147483647"}) EXPECT_TRUE(is_tap_node_name(name)) << name;
  for (const char* name : {"", "tap", "tap0", "tap07", "tap-1", "tap7x", "xtap7", "tapferry", "tap2147483648"}) {
    EXPECT_FALSE(is_tap_node_name(name)) << name;
  }
}

TEST(DoctorUserNodes, ADeviceIsThereIfItsNumberHasItsName) {
  char folder[] = "/tmp/by-number-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string link = std::string(folder) + "/246:3";
  ASSERT_EQ(symlink("../../devices/virtual/net/vm-1/macvtap/tap7", link.c_str()), 0);
  EXPECT_TRUE(is_device_named(folder, makedev(246, 3), "tap7"));
  EXPECT_FALSE(is_device_named(folder, makedev(246, 3), "tap17"));
  EXPECT_FALSE(is_device_named(folder, makedev(246, 3), "ap7"));
  EXPECT_FALSE(is_device_named(folder, makedev(246, 4), "tap7"));
  unlink(link.c_str());
  rmdir(folder);
}

}  // namespace
}  // namespace tapferry
