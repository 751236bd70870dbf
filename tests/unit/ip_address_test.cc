// SPDX-License-Identifier: MIT
//
// Addresses as text.
#include "net/ip_address.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(IpAddress, IsParsedFromEitherFamilysTextAndNothingElse) {
  EXPECT_EQ(to_string(*parse_ip("192.0.2.1")), "192.0.2.1");
  EXPECT_EQ(to_string(*parse_ip("2001:DB8::0:1")), "2001:db8::1");
  for (const std::string_view text : {"", "192.0.2", "192.0.2.256", "192.0.2.01 ", "::g", "fe80::1%eth0", "br0"}) {
    EXPECT_FALSE(parse_ip(text)) << text;
  }
  EXPECT_FALSE(parse_ip(std::string_view("192.0.2.1\0x", 11)));
  EXPECT_TRUE(parse_ip("224.0.0.1")->is_multicast());
  EXPECT_TRUE(parse_ip("ff02::1")->is_multicast());
  EXPECT_FALSE(parse_ip("192.0.2.1")->is_multicast());
  EXPECT_TRUE(parse_ip("::")->is_unspecified());
}

}  // namespace
}  // namespace tapferry
