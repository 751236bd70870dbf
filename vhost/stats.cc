// SPDX-License-Identifier: MIT
#include "vhost/stats.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <numeric>

namespace tapferry {
namespace {

constexpr unsigned kLinesPerHeader = 24;  // a screenful

struct DropName {
  const char* words;
  const char* key;
};
constexpr std::array<DropName, static_cast<size_t>(Drop::kCount)> kDropNames = {{
    {"too short to be a frame", "too_short"},
    {"larger than the guest's buffers", "too_large"},
    {"refused by the tap", "refused"},
    {"while the tap was down", "link_down"},
    {"on a queue that is disabled", "disabled"},
    {"the guest's memory is gone", "memory_gone"},
    {"for another reason", "other"},
}};

__attribute__((format(printf, 1, 2))) std::string format(const char* how, ...) {
  std::array<char, 256> buffer;
  va_list values;
  va_start(values, how);
  const int length = vsnprintf(buffer.data(), buffer.size(), how, values);
  va_end(values);
  return {buffer.data(), std::min<size_t>(static_cast<size_t>(std::max(length, 0)), buffer.size() - 1)};
}

QueueTotals read_queue(const QueueCounters& counters) {
  QueueTotals totals;
  totals.frames = counters.frames.get();
  totals.bytes = counters.bytes.get();
  for (size_t i = 0; i < totals.drops.size(); ++i) totals.drops[i] = counters.drops[i].get();
  for (size_t i = 0; i < totals.bursts.size(); ++i) totals.bursts[i] = counters.bursts[i].get();
  totals.merged_frames = counters.merged_frames.get();
  totals.merged_into = counters.merged_into.get();
  totals.moved_frames = counters.moved_frames.get();
  totals.notifications = counters.notifications.get();
  return totals;
}

QueueTotals queue_difference(QueueTotals now, const QueueTotals& before) {
  now.frames -= before.frames;
  now.bytes -= before.bytes;
  for (size_t i = 0; i < now.drops.size(); ++i) now.drops[i] -= before.drops[i];
  for (size_t i = 0; i < now.bursts.size(); ++i) now.bursts[i] -= before.bursts[i];
  now.merged_frames -= before.merged_frames;
  now.merged_into -= before.merged_into;
  now.moved_frames -= before.moved_frames;
  now.notifications -= before.notifications;
  return now;
}

double ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// "1: 5, 2-3: 7, ... 64: 1"; the buckets that hold something.
std::string bursts_text(const QueueTotals& queue) {
  std::string text;
  for (size_t i = 0; i < kBurstBuckets; ++i) {
    if (queue.bursts[i] == 0) continue;
    const unsigned first = 1u << i;
    const bool is_one = i == 0 || i + 1 == kBurstBuckets;
    text += (text.empty() ? "" : ", ") + std::to_string(first);
    if (!is_one) text += "-" + std::to_string(2 * first - 1);
    text += ": " + std::to_string(queue.bursts[i]);
  }
  return text;
}

std::string queue_text(const char* direction, const QueueTotals& queue) {
  std::string text = format("  %s: %lu frames, %lu bytes, %lu notifications\n", direction, queue.frames, queue.bytes,
                            queue.notifications);
  const std::string bursts = bursts_text(queue);
  if (!bursts.empty()) text += "    bursts of frames: " + bursts + "\n";
  if (queue.merged_into != 0) {
    text += format("    merged: %lu frames into %lu\n", queue.merged_frames, queue.merged_into);
  }
  if (queue.moved_frames != 0) {
    text += format("    moved on to other buffers: %lu frames\n", queue.moved_frames);
  }
  for (size_t i = 0; i < queue.drops.size(); ++i) {
    if (queue.drops[i] != 0) text += format("    dropped, %s: %lu\n", kDropNames[i].words, queue.drops[i]);
  }
  return text;
}

}  // namespace

uint64_t QueueTotals::dropped() const { return std::accumulate(drops.begin(), drops.end(), uint64_t{0}); }

PairTotals read_totals(const PairCounters& counters) {
  PairTotals totals;
  totals.rx = read_queue(counters.rx);
  totals.tx = read_queue(counters.tx);
  totals.wakeups = counters.wakeups.get();
  totals.system_calls = counters.system_calls.get();
  return totals;
}

PairTotals difference(const PairTotals& now, const PairTotals& before) {
  PairTotals added;
  added.rx = queue_difference(now.rx, before.rx);
  added.tx = queue_difference(now.tx, before.tx);
  added.wakeups = now.wakeups - before.wakeups;
  added.system_calls = now.system_calls - before.system_calls;
  return added;
}

const char* drop_words(Drop why) { return kDropNames[static_cast<size_t>(why)].words; }
const char* drop_key(Drop why) { return kDropNames[static_cast<size_t>(why)].key; }

std::string interval_header() {
  return "pair  rx frames/s  rx Mbit/s  rx drops/s  tx frames/s  tx Mbit/s  tx drops/s  merged  calls/frame  "
         "wakeups/s\n";
}

std::string interval_line(unsigned pair, const PairTotals& added, int64_t elapsed_ms) {
  const double seconds = static_cast<double>(std::max<int64_t>(elapsed_ms, 1)) / 1000;
  const auto rate = [&](uint64_t count) { return static_cast<double>(count) / seconds; };
  const auto mbits = [&](const QueueTotals& queue) { return rate(queue.bytes) * 8 / 1e6; };
  return format("%4u  %11.0f  %9.1f  %10.0f  %11.0f  %9.1f  %10.0f  %5.0f%%  %11.2f  %9.0f\n", pair,
                rate(added.rx.frames), mbits(added.rx), rate(added.rx.dropped()), rate(added.tx.frames),
                mbits(added.tx), rate(added.tx.dropped()), 100 * ratio(added.tx.merged_frames, added.tx.frames),
                ratio(added.system_calls, added.rx.frames + added.tx.frames), rate(added.wakeups));
}

std::string totals_text(unsigned pair, const PairTotals& totals) {
  const uint64_t frames = totals.rx.frames + totals.tx.frames;
  return format("pair %u: %lu system calls (%.2f a frame), %lu wake-ups\n", pair, totals.system_calls,
                ratio(totals.system_calls, frames), totals.wakeups) +
         queue_text("rx, to the guest", totals.rx) + queue_text("tx, from the guest", totals.tx);
}

std::string StatsReport::interval(std::span<const PairTotals> now, int64_t elapsed_ms) {
  std::string text;
  for (unsigned pair = 0; pair < now.size() && pair < before_.size(); ++pair) {
    const PairTotals added = difference(now[pair], before_[pair]);
    before_[pair] = now[pair];
    if (format_ == StatsFormat::kJson) {
      text += stats_json(pair, added, elapsed_ms);
      continue;
    }
    if (lines_++ % kLinesPerHeader == 0) text += interval_header();
    text += interval_line(pair, added, elapsed_ms);
  }
  return text;
}

std::string StatsReport::totals(std::span<const PairTotals> now) const {
  std::string text;
  for (unsigned pair = 0; pair < now.size(); ++pair) {
    text += format_ == StatsFormat::kJson ? stats_json(pair, now[pair], -1) : totals_text(pair, now[pair]);
  }
  return text;
}

}  // namespace tapferry
