// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(Escape, LeavesTextAlone) {
  for (const std::string_view text : {"", "bridge=br0,queues=2", "Grüße, 世界 🙂", "a\"b'c"}) {
    EXPECT_EQ(escape(text), text);
  }
}

TEST(Escape, ShowsWhatATerminalWouldActOn) {
  EXPECT_EQ(escape("a\nb\tc\\d"), "a\\nb\\tc\\\\d");
  EXPECT_EQ(escape("\x1b[2J\x7f\r"), "\\x1b[2J\\x7f\\x0d");
  EXPECT_EQ(escape(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(escape("\xc2\x9b"
                   "2J"),
            "\\xc2\\x9b2J")
      << "a C1 control in UTF-8";
}

TEST(Escape, ShowsBytesThatAreNoUtf8) {
  for (const auto& [bytes, shown] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"\xff", "\\xff"},
                                                                  {"\xc3", "\\xc3"},
                                                                  {"\x80", "\\x80"},
                                                                  {"\xc0\xaf", "\\xc0\\xaf"},
                                                                  {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
                                                                  {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
                                                                  {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
                                                                  {"\xe4\xb8"
                                                                   "x",
                                                                   "\\xe4\\xb8x"}}) {
    EXPECT_EQ(escape(bytes), shown);
  }
}

TEST(JsonEscape, IsTheInsideOfAString) {
  EXPECT_EQ(json_escape("a\"b\\c\n\x01\x7f"), "a\\\"b\\\\c\\u000a\\u0001\\u007f");
  EXPECT_EQ(json_escape("世界"), "世界");
  EXPECT_EQ(json_escape("\xff"
                        "a\xc3"),
            "\xef\xbf\xbd"
            "a\xef\xbf\xbd");
  EXPECT_EQ(json_escape(std::string_view("\0", 1)), "\\u0000");
}

TEST(JsonField, IsCutBetweenTwoCharacters) {
  EXPECT_EQ(json_field("key", "12345678", 8), "key=\"12345678\"");
  EXPECT_EQ(json_field("key", "123456789", 8), "key=\"12345...\"");
  EXPECT_EQ(json_field("key", "1234\"6789", 8), "key=\"1234...\"");
  EXPECT_EQ(json_field("key", "123\"56789", 8), "key=\"123\\\"...\"");
  EXPECT_EQ(json_field("key", "\x01\x01", 8), "key=\"...\"");
  EXPECT_EQ(json_field("key", "\x01\x01", 9), "key=\"\\u0001...\"");
  EXPECT_EQ(json_field("key", "123世界", 8), "key=\"123...\"");
  EXPECT_EQ(json_field("key", "12世界", 8), "key=\"12世界\"");
  for (size_t max = 8; max < 40; ++max) {
    EXPECT_LE(json_field("k", "a\"b\\c\x01世\xff界 and something more", max).size(), max + 4) << max;
  }
}

TEST(JsonPair, EscapesBothSides) { EXPECT_EQ(json_pair("a\"", "b\n"), "\"a\\\"\":\"b\\u000a\""); }

}  // namespace
}  // namespace tapferry
