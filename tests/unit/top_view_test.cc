// SPDX-License-Identifier: MIT
#include "tools/top_view.h"

#include <gtest/gtest.h>

#include "tests/unit/status_case.h"
#include "tools/text_table.h"

namespace tapferry {
namespace {

std::string names(const StatusSnapshot& snapshot) {
  std::string text;
  for (const InterfaceStatus& one : snapshot.interfaces) text += (text.empty() ? "" : " ") + one.link.name;
  return text;
}

StatusSnapshot many(unsigned count) {
  StatusSnapshot made = snapshot({});
  for (unsigned i = 0; i < count; ++i) made.interfaces.push_back(interface("tap" + std::to_string(i)));
  return made;
}

TEST(TopOrder, IsByRateFramesNameOrUser) {
  auto made =
      snapshot({interface("tap10", "bob", 5, 9), interface("tap9", "alice", 5, 1), interface("tap1", "carol", 70, 2)});
  const std::pair<const char*, const char*> cases[] = {{"rate", "tap1 tap9 tap10"},
                                                       {"frames", "tap10 tap1 tap9"},
                                                       {"name", "tap1 tap9 tap10"},
                                                       {"user", "tap9 tap10 tap1"}};
  for (const auto& [word, expected] : cases) {
    const auto order = parse_top_order(word);
    ASSERT_TRUE(order);
    EXPECT_STREQ(top_order_name(*order), word);
    sort_for_top(&made, *order);
    EXPECT_EQ(names(made), expected) << word;
  }
  EXPECT_FALSE(parse_top_order("size"));
}

TEST(TopView, FillsTheScreenAndNoMore) {
  TopView view(TopOrder::kName);
  view.show(many(1000));
  for (const ScreenSize size : {ScreenSize{80, 24}, ScreenSize{200, 60}, ScreenSize{20, 5}, ScreenSize{1, 4}}) {
    const auto lines = view.lines(size);
    EXPECT_EQ(lines.size(), size.rows);
    for (const std::string& line : lines) EXPECT_LE(text_width(line), size.columns) << line;
  }
  EXPECT_EQ(view.lines({1, 1}).size(), 1U);
  EXPECT_EQ(view.lines({80, 2}).size(), 2U);
}

TEST(TopView, Scrolls) {
  TopView view(TopOrder::kName);
  view.show(many(100));
  const ScreenSize size = {80, 13};  // ten rows
  const auto first = [&] { return view.lines(size)[2].substr(0, view.lines(size)[2].find(' ')); };
  const std::pair<const char*, const char*> presses[] = {{"\x1b[B", "tap1"},
                                                         {"jj", "tap3"},
                                                         {"k", "tap2"},
                                                         {"\x1b[6~", "tap12"},
                                                         {" ", "tap22"},
                                                         {"b\x1b[5~", "tap2"},
                                                         {"\x1b[A\x1b[A\x1b[A", "tap0"}};
  for (const auto& [keys, expected] : presses) {
    EXPECT_EQ(view.press(keys, size), TopView::Reaction::kRedraw);
    EXPECT_EQ(first(), expected) << keys;
  }
  for (int i = 0; i < 20; ++i) (void)view.press(" ", size);
  EXPECT_EQ(first(), "tap90");
  EXPECT_NE(view.lines(size).back().find("rows 91-100 of 100"), std::string::npos);
  view.show(many(5));
  EXPECT_EQ(first(), "tap0") << "when there are fewer";
}

TEST(TopView, KnowsItsKeys) {
  TopView view(TopOrder::kRate);
  view.show(snapshot({interface("tap0", "bob", 9), interface("tap1", "alice", 1)}));
  const ScreenSize size;
  EXPECT_EQ(view.press("x\x1b", size), TopView::Reaction::kNone);
  EXPECT_EQ(view.press("u", size), TopView::Reaction::kRedraw);
  EXPECT_TRUE(view.lines(size)[2].starts_with("tap1"));
  EXPECT_EQ(view.press("r", size), TopView::Reaction::kRedraw);
  EXPECT_TRUE(view.lines(size)[2].starts_with("tap0"));
  EXPECT_EQ(view.press("nq", size), TopView::Reaction::kQuit);
}

}  // namespace
}  // namespace tapferry
