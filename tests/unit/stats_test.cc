// SPDX-License-Identifier: MIT
#include "vhost/stats.h"

#include <gtest/gtest.h>
#include <json-glib/json-glib.h>
#include <set>

#include "base/parse.h"

namespace tapferry {
namespace {

PairTotals some_totals() {
  PairTotals totals;
  totals.rx.frames = 3000;
  totals.rx.bytes = 3000 * 1000;
  totals.rx.moved_frames = 4;
  totals.rx.notifications = 100;
  totals.rx.drops[static_cast<size_t>(Drop::kTooLarge)] = 10;
  totals.tx.frames = 1000;
  totals.tx.bytes = 1000 * 500;
  totals.tx.merged_frames = 250;
  totals.tx.merged_into = 20;
  totals.tx.drops[static_cast<size_t>(Drop::kLinkDown)] = 5;
  totals.tx.drops[static_cast<size_t>(Drop::kOther)] = 1;
  totals.tx.bursts = {1, 2, 0, 4, 0, 6, 7};
  totals.wakeups = 50;
  totals.system_calls = 2000;
  return totals;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (const std::string_view line : split(text, '\n')) lines.emplace_back(line);
  EXPECT_EQ(lines.back(), "");
  lines.pop_back();
  return lines;
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  for (const std::string_view word : split_words(std::string_view(line).substr(0, line.find('\n'))))
    words.emplace_back(word);
  return words;
}

TEST(Stats, AreReadFromEachCounter) {
  PairCounters counters;
  counters.rx.frames.add(1);
  counters.rx.bytes.add(2);
  counters.rx.moved_frames.add(3);
  counters.tx.notifications.add(4);
  counters.tx.merged_frames.add(5);
  counters.tx.merged_into.add(6);
  counters.tx.count_drop(Drop::kRefused);
  counters.rx.count_burst(5);
  counters.wakeups.add(7);
  counters.system_calls.add(8);
  const PairTotals totals = read_totals(counters);
  EXPECT_EQ(totals.rx.frames, 1u);
  EXPECT_EQ(totals.rx.bytes, 2u);
  EXPECT_EQ(totals.rx.moved_frames, 3u);
  EXPECT_EQ(totals.tx.notifications, 4u);
  EXPECT_EQ(totals.tx.merged_frames, 5u);
  EXPECT_EQ(totals.tx.merged_into, 6u);
  EXPECT_EQ(totals.tx.drops[static_cast<size_t>(Drop::kRefused)], 1u);
  EXPECT_EQ(totals.tx.dropped(), 1u);
  EXPECT_EQ(totals.rx.bursts[2], 1u);
  EXPECT_EQ(totals.wakeups, 7u);
  EXPECT_EQ(totals.system_calls, 8u);
}

TEST(Stats, IntervalIsInRates) {
  const std::vector<std::string> words = words_of(interval_line(3, some_totals(), 500));
  EXPECT_EQ(words, (std::vector<std::string>{"3", "6000", "48.0", "20", "2000", "8.0", "12", "25%", "0.50", "100"}));
}

TEST(Stats, IntervalWithoutFramesIsZeros) {
  const std::vector<std::string> words = words_of(interval_line(0, {}, 0));
  EXPECT_EQ(words, (std::vector<std::string>{"0", "0", "0.0", "0", "0", "0.0", "0", "0%", "0.00", "0"}));
}

TEST(Stats, ColumnsEndUnderTheirNames) {
  const std::string header = interval_header();
  PairTotals fast = some_totals();
  fast.rx.frames = 12345678;
  fast.tx.bytes = 98765432100;
  for (const PairTotals& totals : {PairTotals{}, some_totals(), fast}) {
    const std::string line = interval_line(0, totals, 1000);
    ASSERT_EQ(line.size(), header.size());
    for (size_t i = 0; i + 1 < header.size(); ++i) {
      const bool ends_column = header[i] != ' ' && (header[i + 1] == '\n' || header.substr(i + 1, 2) == "  ");
      if (ends_column) {
        EXPECT_TRUE(line[i] != ' ' && (line[i + 1] == ' ' || line[i + 1] == '\n')) << line << i;
      }
    }
  }
}

TEST(Stats, ReportPrintsWhatWasAdded) {
  StatsReport report(StatsFormat::kText, 2);
  std::vector<PairTotals> now = {some_totals(), {}};
  std::vector<std::string> lines = lines_of(report.interval(now, 1000));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0] + "\n", interval_header());
  EXPECT_EQ(words_of(lines[1])[1], "3000");
  EXPECT_EQ(words_of(lines[2])[0], "1");
  now[0].rx.frames += 7;
  lines = lines_of(report.interval(now, 1000));
  ASSERT_EQ(lines.size(), 2u) << "no header each time";
  EXPECT_EQ(words_of(lines[0])[1], "7");
  unsigned headers = 0;
  for (int i = 0; i < 48; ++i) headers += report.interval(now, 1000).starts_with("pair");
  EXPECT_EQ(headers, 4u) << "one in twelve intervals of two lines";
}

TEST(Stats, TotalsHaveEveryCounter) {
  const std::string text = totals_text(1, some_totals());
  for (const char* part :
       {"pair 1: 2000 system calls (0.50 a frame), 50 wake-ups\n",
        "  rx, to the guest: 3000 frames, 3000000 bytes, 100 notifications\n",
        "    moved on to other buffers: 4 frames\n", "    dropped, larger than the guest's buffers: 10\n",
        "  tx, from the guest: 1000 frames, 500000 bytes, 0 notifications\n", "    merged: 250 frames into 20\n",
        "    dropped, while the tap was down: 5\n", "    dropped, for another reason: 1\n",
        "    bursts of frames: 1: 1, 2-3: 2, 8-15: 4, 32-63: 6, 64: 7\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "in\n" << text;
  }
  EXPECT_EQ(lines_of(totals_text(0, {})).size(), 3u) << "what is zero is left out";
}

int64_t number_at(JsonObject* object, const char* key) { return json_object_get_int_member(object, key); }

TEST(Stats, JsonHasTheSame) {
  JsonParser* parser = json_parser_new();
  const std::string line = stats_json(2, some_totals(), 250);
  EXPECT_EQ(lines_of(line).size(), 1u);
  ASSERT_TRUE(json_parser_load_from_data(parser, line.c_str(), -1, nullptr));
  JsonObject* root = json_node_get_object(json_parser_get_root(parser));
  EXPECT_STREQ(json_object_get_string_member(root, "event"), "interval");
  EXPECT_EQ(number_at(root, "pair"), 2);
  EXPECT_EQ(number_at(root, "elapsed_ms"), 250);
  EXPECT_EQ(number_at(root, "wakeups"), 50);
  EXPECT_EQ(number_at(root, "system_calls"), 2000);
  JsonObject* rx = json_object_get_object_member(root, "rx");
  EXPECT_EQ(number_at(rx, "frames"), 3000);
  EXPECT_EQ(number_at(rx, "moved_frames"), 4);
  EXPECT_EQ(number_at(rx, "notifications"), 100);
  EXPECT_EQ(number_at(json_object_get_object_member(rx, "drops"), "too_large"), 10);
  JsonObject* tx = json_object_get_object_member(root, "tx");
  EXPECT_EQ(number_at(tx, "bytes"), 500000);
  EXPECT_EQ(number_at(tx, "merged_frames"), 250);
  EXPECT_EQ(number_at(tx, "merged_into"), 20);
  EXPECT_EQ(number_at(json_object_get_object_member(tx, "drops"), "other"), 1);
  EXPECT_EQ(number_at(json_object_get_object_member(tx, "bursts"), "32"), 6);
  g_object_unref(parser);
}

TEST(Stats, JsonTotalsAreOfNoInterval) {
  const std::string line = stats_json(0, {}, -1);
  EXPECT_NE(line.find("\"event\":\"totals\""), std::string::npos);
  EXPECT_EQ(line.find("elapsed_ms"), std::string::npos);
  StatsReport report(StatsFormat::kJson, 2);
  const std::vector<PairTotals> now(2);
  EXPECT_EQ(lines_of(report.interval(now, 5)).size(), 2u);
  EXPECT_EQ(lines_of(report.totals(now)).size(), 2u);
}

TEST(Stats, EveryDropHasItsOwnWords) {
  std::set<std::string> words;
  std::set<std::string> keys;
  for (size_t i = 0; i < static_cast<size_t>(Drop::kCount); ++i) {
    words.insert(drop_words(static_cast<Drop>(i)));
    keys.insert(drop_key(static_cast<Drop>(i)));
  }
  EXPECT_EQ(words.size(), static_cast<size_t>(Drop::kCount));
  EXPECT_EQ(keys.size(), static_cast<size_t>(Drop::kCount));
}

}  // namespace
}  // namespace tapferry
