// SPDX-License-Identifier: MIT
//
// The time in which a benchmark counts: after a warm-up, for some seconds; with what a core did meanwhile, from /proc/stat, where
// the idle time of a core that sleeps is exact and only shown in hundredths of a second (fs/proc/stat.c, get_idle_time()).
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "tests/bench/arguments.h"

namespace tapferry::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Seconds since boot in which the core was idle.
inline double idle_seconds(unsigned cpu) {
  constexpr size_t kLimit = 1 << 20;
  constexpr size_t kIdle = 4, kIoWait = 5;  // fields of a core's line, by proc(5)
  const auto file = open_file("/proc/stat", O_RDONLY);
  const auto content = file.is_ok() ? read_all(file.value().get(), kLimit, "/proc/stat") : file.error();
  if (!content.is_ok()) Arguments::fail("/proc/stat", content.error().line());
  const std::string name = "cpu" + std::to_string(cpu);
  for (const std::string_view line : split(content.value(), '\n')) {
    const auto words = split_words(line);
    if (words.size() <= kIoWait || words[0] != name) continue;
    const uint64_t ticks =
        parse_uint(words[kIdle], 0, UINT64_MAX).value_or(0) + parse_uint(words[kIoWait], 0, UINT64_MAX).value_or(0);
    return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  Arguments::fail("/proc/stat", "doesn't show core " + std::to_string(cpu));
}

class Window {
 public:
  // --warm-up-ms, --seconds-ms, --watch-cpu
  explicit Window(Arguments* arguments)
      : cpu_(static_cast<unsigned>(arguments->number("watch-cpu", 1))),
        begin_(Clock::now() + std::chrono::milliseconds(arguments->number("warm-up-ms", 300))),
        end_(begin_ + std::chrono::milliseconds(arguments->number("seconds-ms", 2000))) {}

  // To be called at least once in a few milliseconds, with the numbers up to now. False once it is over.
  bool is_open(Clock::time_point now, uint64_t frames, uint64_t events = 0) {
    if (is_begun_) [[likely]] {
      if (now < end_) return true;
      took_ = seconds_between(begun_, now);
      idle_ = idle_seconds(cpu_) - idle_before_;
      frames_ = frames - frames_before_;
      events_ = events - events_before_;
      return false;
    }
    if (now < begin_) return true;
    is_begun_ = true;
    idle_before_ = idle_seconds(cpu_);
    frames_before_ = frames;
    events_before_ = events;
    begun_ = Clock::now();
    return true;
  }

  // {"frames", "seconds", "busy_s", "events"}; `events` is whatever else was counted.
  void report() const {
    printf("{\"frames\": %llu, \"seconds\": %.6f, \"busy_s\": %.6f, \"events\": %llu}\n",
           static_cast<unsigned long long>(frames_), took_, took_ - idle_, static_cast<unsigned long long>(events_));
    fflush(stdout);
  }

 private:
  unsigned cpu_;
  Clock::time_point begin_, end_, begun_;
  bool is_begun_ = false;
  double idle_before_ = 0, idle_ = 0, took_ = 0;
  uint64_t frames_before_ = 0, frames_ = 0, events_before_ = 0, events_ = 0;
};

}  // namespace tapferry::bench
