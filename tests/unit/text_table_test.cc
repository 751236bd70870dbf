// SPDX-License-Identifier: MIT
#include "tools/text_table.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

TEST(ShortNumber, HasThreeDigitsAtMost) {
  const std::pair<double, const char*> cases[] = {
      {0, "0"},      {7.4, "7"},      {999.4, "999"},   {999.6, "1.0k"}, {1234, "1.2k"},   {9949, "9.9k"},
      {9960, "10k"}, {99600, "100k"}, {999600, "1.0M"}, {1.5e9, "1.5G"}, {9.9e17, "990P"}, {5e19, "50000P"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(short_number(value), text);
}

TEST(ShortDuration, HasTwoUnitsAtMost) {
  const std::pair<int64_t, const char*> cases[] = {{-5, "0s"},
                                                   {59, "59s"},
                                                   {60, "1m"},
                                                   {3599, "59m"},
                                                   {3600, "1h"},
                                                   {8000, "2h13m"},
                                                   {86400 * 3, "3d"},
                                                   {86400 * 3 + 14400, "3d4h"},
                                                   {86400 * 128 + 5000, "128d"}};
  for (const auto& [seconds, text] : cases) EXPECT_EQ(short_duration(seconds), text);
}

TEST(TextTable, LeavesOutColumnsInTurnUntilItFits) {
  TextTable table({{"NAME"}, {"MAC", false, 1}, {"RATE", true, 2}});
  table.add_row({"tap0", "52:54:00:00:00:01", "12"});
  table.add_row({"longest-name-15", "", "3.4k"});
  const auto whole = table.render(0);
  EXPECT_EQ(whole.header, "NAME             MAC                RATE");
  EXPECT_EQ(whole.rows, (std::vector<std::string>{"tap0             52:54:00:00:00:01    12",
                                                  "longest-name-15  -                  3.4k"}));
  EXPECT_TRUE(whole.left_out.empty());
  EXPECT_EQ(table.render(whole.header.size()).left_out.size(), 0U);
  const auto narrow = table.render(whole.header.size() - 1);
  EXPECT_EQ(narrow.left_out, std::vector<std::string>{"MAC"});
  EXPECT_EQ(narrow.rows[1], "longest-name-15  3.4k");
  EXPECT_EQ(table.render(1).rows[1], "longest-name-15") << "nothing is cut";
}

TEST(TextTable, WhatProcessesCallThemselvesCantMoveTheCursor) {
  TextTable table({{"NAME"}});
  table.add_row({"evil\x1b[2J\nroot"});
  EXPECT_EQ(table.render(0).rows[0], "evil\\x1b[2J\\nroot");
}

TEST(TextTable, CountsColumnsNotBytes) {
  EXPECT_EQ(text_width("br\xc3\xb6"), 3U);
  EXPECT_EQ(text_width("\xe6\xa9\x8b"), 2U);
  EXPECT_EQ(text_width("\xff\xfe"), 2U);
  EXPECT_EQ(fit_line("br\xc3\xb6"
                     "cke",
                     4),
            "br\xc3\xb6>");
  EXPECT_EQ(fit_line("\xe6\xa9\x8b\xe6\xa9\x8b", 3), "\xe6\xa9\x8b>");
  EXPECT_EQ(fit_line("as it is", 8), "as it is");
}

}  // namespace
}  // namespace tapferry
