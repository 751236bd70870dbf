// SPDX-License-Identifier: MIT
//
// Counters as lines: one per queue pair and interval with --stats, all of them at the end and on SIGUSR1. Pure: texts out of numbers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vhost/counters.h"

namespace tapferry {

// The counters at one moment (vhost/counters.h says what they count). Each is read once, and not all at the same time.
struct QueueTotals {
  uint64_t frames = 0;
  uint64_t bytes = 0;
  std::array<uint64_t, static_cast<size_t>(Drop::kCount)> drops = {};
  std::array<uint64_t, kBurstBuckets> bursts = {};
  uint64_t merged_frames = 0;
  uint64_t merged_into = 0;
  uint64_t moved_frames = 0;
  uint64_t notifications = 0;

  uint64_t dropped() const;
};

struct PairTotals {
  QueueTotals rx;
  QueueTotals tx;
  uint64_t wakeups = 0;
  uint64_t system_calls = 0;
};

PairTotals read_totals(const PairCounters& counters);
// What was added since `before`.
PairTotals difference(const PairTotals& now, const PairTotals& before);

// As words ("larger than its buffers"), and as a key of JSON ("too_large").
const char* drop_words(Drop why);
const char* drop_key(Drop why);

enum class StatsFormat { kText, kJson };

// Names of the columns of interval_line().
std::string interval_header();
// Rates of one pair over `elapsed_ms`, as a row of columns that stay where they are.
std::string interval_line(unsigned pair, const PairTotals& added, int64_t elapsed_ms);
// All of a pair's counters, several lines.
std::string totals_text(unsigned pair, const PairTotals& totals);

// One object on a line. `event` is "interval" (with `elapsed_ms`, and what was added) or "totals" (elapsed_ms < 0).
std::string stats_json(unsigned pair, const PairTotals& totals, int64_t elapsed_ms);

// The report of several pairs: knows what was printed before.
class StatsReport {
 public:
  StatsReport(StatsFormat format, size_t pairs) : format_(format), before_(pairs) {}

  // What was done since the last call: a line for each pair, now and then under a header. `elapsed_ms`: since then.
  std::string interval(std::span<const PairTotals> now, int64_t elapsed_ms);
  std::string totals(std::span<const PairTotals> now) const;

 private:
  StatsFormat format_;
  std::vector<PairTotals> before_;
  unsigned lines_ = 0;
};

}  // namespace tapferry
