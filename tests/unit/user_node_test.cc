// SPDX-License-Identifier: MIT
#include "helper/user_node.h"

#include <cstring>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace tapferry {
namespace {

// Version, then tag, permissions and id of each entry, little-endian, as in <linux/posix_acl_xattr.h>.
std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

TEST(UserNode, ListLetsOneUserInAndLeavesTheRest) {
  EXPECT_EQ(hex(acl_with_user(0600, 1000)), std::string("02000000") +
                                                "01000600ffffffff"    // owner rw-
                                                "02000600e8030000"    // uid 1000 rw-
                                                "04000000ffffffff"    // group ---
                                                "10000600ffffffff"    // mask rw-
                                                "20000000ffffffff");  // others ---
  EXPECT_EQ(hex(acl_with_user(0664, 4294967294u)), std::string("02000000") + "01000600ffffffff" + "02000600feffffff" +
                                                       "04000600ffffffff" + "10000600ffffffff" + "20000400ffffffff");
}

TEST(UserNode, KernelsOwnIsOnADevtmpfs) {
  constexpr std::string_view kMounts =
      "22 1 0:6 / /dev rw,relatime shared:2 - devtmpfs udev rw,size=1k\n"
      "23 1 0:7 / /a\\040-\\040devtmpfs\\040 rw - tmpfs devtmpfs rw\n"
      "24 1 0:60 / /run rw - tmpfs tmpfs rw\n";
  EXPECT_TRUE(is_devtmpfs(kMounts, makedev(0, 6)));
  for (const unsigned minor_number : {0u, 7u, 60u, 61u}) {
    EXPECT_FALSE(is_devtmpfs(kMounts, makedev(0, minor_number))) << minor_number;
  }
  for (const char* text : {"", "\n", "22 1", "22 1 0:6", "22 1 0:6 / /dev rw - devtmpfs"}) {
    EXPECT_FALSE(is_devtmpfs(text, makedev(0, 6))) << text;
  }
}

TEST(UserNode, IsNamedByTheIndex) { EXPECT_EQ(user_node_path(7), "/dev/tap7"); }

}  // namespace
}  // namespace tapferry
