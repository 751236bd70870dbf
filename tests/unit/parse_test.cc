// SPDX-License-Identifier: MIT
#include "base/parse.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

using Parts = std::vector<std::string_view>;

TEST(ParseUint, TakesPlainDecimalNumbersInTheRange) {
  EXPECT_EQ(parse_uint("0", 0, 10), 0u);
  EXPECT_EQ(parse_uint("10", 0, 10), 10u);
  EXPECT_EQ(parse_uint("18446744073709551615", 0, UINT64_MAX), UINT64_MAX);
}

TEST(ParseUint, TakesNothingElse) {
  for (const std::string_view text : {"", " 1", "1 ", "+1", "-1", "01", "00", "0x1", "1e1", "1.0", "11", "zz", "1\n",
                                      "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_uint(text, 0, 10)) << text;
  }
  EXPECT_FALSE(parse_uint(std::string_view("1\0", 2), 0, 10));
  EXPECT_FALSE(parse_uint("1", 2, 10));
}

TEST(ParseOnOff, TakesTheTwoWords) {
  EXPECT_EQ(parse_on_off("on"), true);
  EXPECT_EQ(parse_on_off("off"), false);
  for (const std::string_view text : {"", "On", "yes", "1", "on ", "true"}) EXPECT_FALSE(parse_on_off(text)) << text;
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a,,b", ','), (Parts{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (Parts{""}));
  EXPECT_EQ(split(",", ','), (Parts{"", ""}));
}

TEST(SplitWords, DropsBlanksAndTabs) {
  EXPECT_EQ(split_words("  allow\tbr0  user=x "), (Parts{"allow", "br0", "user=x"}));
  EXPECT_EQ(split_words(" \t "), Parts{});
  EXPECT_EQ(split_words(""), Parts{});
}

TEST(ConsumePrefix, RemovesItOnlyWhenItIsThere) {
  std::string_view text = "--net=tap";
  EXPECT_FALSE(consume_prefix(&text, "--br="));
  EXPECT_TRUE(consume_prefix(&text, "--net="));
  EXPECT_EQ(text, "tap");
}

}  // namespace
}  // namespace tapferry
