// SPDX-License-Identifier: MIT
#include "tools/holders.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(Holders, AreNamedByTheirDescriptorsInfo) {
  EXPECT_EQ(tap_name_of_fdinfo("pos:\t0\nflags:\t02104002\nmnt_id:\t27\niff:\ttap7\n"), "tap7");
  EXPECT_EQ(tap_name_of_fdinfo("pos:\t0\niff:\t\n"), "");
  EXPECT_EQ(tap_name_of_fdinfo(""), "");
}

TEST(Holders, OfAnotherNamespaceCountForTheOwnerAlone) {
  const HolderProcess here = {1, "qemu", 1000, 1, true};
  const HolderProcess elsewhere = {2, "qemu", 1000, 1, false};
  const HolderProcess stranger = {3, "qemu", 1001, 1, false};
  Holders holders;
  holders.taps["tap0"] = {here, elsewhere, stranger};
  holders.taps["tap1"] = {elsewhere, stranger};
  EXPECT_EQ(holders.of_tap("tap0", 1000), std::vector{here});
  EXPECT_EQ(holders.of_tap("tap1", 1000), std::vector{elsewhere});
  EXPECT_TRUE(holders.of_tap("tap2", 1000).empty());
}

TEST(Holders, AreNoneAndNotCertainWithoutProc) {
  const Holders holders = find_holders("/dev/null");
  EXPECT_TRUE(holders.taps.empty());
  EXPECT_FALSE(holders.is_complete);
}

}  // namespace
}  // namespace tapferry
