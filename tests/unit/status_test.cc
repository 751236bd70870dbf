// SPDX-License-Identifier: MIT
//
// What `tapferry status' and `top' print, from facts that are made up.
#include "tools/status.h"

#include <gtest/gtest.h>

#include "tests/unit/status_case.h"

namespace tapferry {
namespace {

TEST(Seconds, AreReadStrictly) {
  EXPECT_EQ(parse_seconds("2", 0), 2000U);
  EXPECT_EQ(parse_seconds("0.5", 0), 500U);
  EXPECT_EQ(parse_seconds("1.125", 0), 1125U);
  EXPECT_EQ(parse_seconds("0", 0), 0U);
  EXPECT_EQ(parse_seconds("3600", 100), 3600000U);
  for (const char* wrong : {"", ".", ".5", "1.", "1.1234", "-1", "1e3", "3601", "3600.1", " 1", "1 ", "0.x", "nan"}) {
    EXPECT_EQ(parse_seconds(wrong, 0), std::nullopt) << wrong;
  }
  EXPECT_EQ(parse_seconds("0.09", 100), std::nullopt);
}

TEST(StatusTable, SaysWhatIsLeftOutAndCutsNoName) {
  auto one = interface("a-name-of-15-by");
  one.holders = {{812, "qemu-system-x86", 1000, 1, true}, {813, "tapferry", 1000, 1, true}};
  const std::string text = status_table(snapshot({one}), 80);
  EXPECT_NE(text.find("a-name-of-15-by"), std::string::npos) << text;
  EXPECT_NE(text.find("812 qemu-system-x86 +1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("note: no room for KIND, Q, MAC, "), std::string::npos) << text;
  EXPECT_LE(text.find('\n'), 80U) << text;
  EXPECT_EQ(status_table(snapshot({one}), 0).find("note"), std::string::npos);
}

TEST(StatusTable, OfNothingIsASentence) { EXPECT_EQ(status_table(snapshot({}), 80), "there is nothing to show\n"); }

TEST(StatusNotes, TellOfHoldersThatCantBeSeen) {
  auto one = interface("tap0");
  EXPECT_EQ(status_notes(snapshot({one})), "");
  one.has_unseen_holder = true;
  EXPECT_TRUE(status_notes(snapshot({interface("tap1"), one})).starts_with("note: "));
  EXPECT_NE(status_table(snapshot({one}), 0).find("  ?\n"), std::string::npos);
}

TEST(StatusState, IsUpDownOrWithoutACarrier) {
  auto one = interface("tap0");
  EXPECT_STREQ(one.state(), "up");
  one.link.has_carrier = false;
  EXPECT_STREQ(one.state(), "no-carrier");
  one.link.flags = 0;
  EXPECT_STREQ(one.state(), "down");
}

TEST(StatusLock, TakesAPortThatDoesNotLearnOrAFilterOfSources) {
  auto one = interface("tap0");
  one.port = PortFlags();
  one.port->locked = true;
  one.port->learning = false;
  EXPECT_TRUE(one.is_locked());
  one.port->learning = true;
  EXPECT_FALSE(one.is_locked());
  one.rules->only_source = Mac();
  EXPECT_TRUE(one.is_locked());
}

TEST(Prometheus, EscapesWhatIsInALabel) {
  auto one = interface("a\"b\\c", "new\nline");
  one.upper = "\xff";
  const std::string text = status_prometheus(snapshot({one}));
  EXPECT_NE(text.find("{interface=\"a\\\"b\\\\c\",user=\"new\\nline\",kind=\"bridge\",upper=\"\\\\xff\"} 1\n"),
            std::string::npos)
      << text;
}

TEST(Prometheus, LimitsAreInBytes) {
  auto one = interface("tap0");
  one.rules->rate_to = 100000000;
  const std::string text = status_prometheus(snapshot({one}));
  EXPECT_NE(text.find("receive_limit_bytes_per_second{interface=\"tap0\",user=\"alice\",kind=\"bridge\",upper=\"br0\"} "
                      "12500000\n"),
            std::string::npos);
  EXPECT_EQ(text.find("transmit_limit_bytes_per_second{"), std::string::npos);
}

}  // namespace
}  // namespace tapferry
