// SPDX-License-Identifier: MIT
#include "net/mac.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(Mac, ParsesSixPairsOfDigits) {
  const auto mac = parse_mac("52:54:00:aB:Cd:0f");
  ASSERT_TRUE(mac);
  EXPECT_EQ(mac->bytes, (std::array<uint8_t, 6>{0x52, 0x54, 0x00, 0xab, 0xcd, 0x0f}));
  EXPECT_EQ(to_string(*mac), "52:54:00:ab:cd:0f");
}

TEST(Mac, ParsesNothingElse) {
  for (const std::string_view text :
       {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:56:", "52-54-00-12-34-56", "52:54:00:12:34:5g",
        "525400123456", " 2:54:00:12:34:56", "52:54:00:12:34:56 ", "52:54:00:12:34;56"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

TEST(Mac, UnicastIsNeitherGroupNorZero) {
  EXPECT_TRUE(parse_mac("fe:00:00:00:00:00")->is_unicast());
  EXPECT_FALSE(parse_mac("ff:ff:ff:ff:ff:ff")->is_unicast());
  EXPECT_FALSE(parse_mac("01:00:5e:00:00:01")->is_unicast());
  EXPECT_FALSE(parse_mac("00:00:00:00:00:00")->is_unicast());
}

}  // namespace
}  // namespace tapferry
