// SPDX-License-Identifier: MIT
#include "helper/user_node.h"

#include <cstring>
#include <gtest/gtest.h>

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

TEST(UserNode, IsNamedByTheIndex) { EXPECT_EQ(user_node_path(7), "/dev/tap7"); }

}  // namespace
}  // namespace tapferry
