// SPDX-License-Identifier: MIT
//
// The time in which a benchmark counts: after a warm-up, for some seconds; with what a core did meanwhile, from /proc/stat, where
// the idle time of a core that sleeps is exact and only shown in hundredths of a second (fs/proc/stat.c, get_idle_time()).
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unistd.h>

#include "tests/bench/arguments.h"

namespace tapferry::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Seconds since boot in which the core was idle.
inline double idle_seconds(unsigned cpu) {
  FILE* file = fopen("/proc/stat", "re");
  if (file == nullptr) Arguments::fail("/proc/stat", "can't be opened");
  const std::string name = "cpu" + std::to_string(cpu) + " ";
  char line[512];
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, io_wait = 0;
  int found = 0;
  while (found == 0 && fgets(line, sizeof line, file) != nullptr) {
    if (strncmp(line, name.c_str(), name.size()) != 0) continue;
    found = sscanf(line + name.size(), "%llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &io_wait);
  }
  fclose(file);
  if (found != 5) Arguments::fail("/proc/stat", "doesn't show core " + std::to_string(cpu));
  return static_cast<double>(idle + io_wait) / static_cast<double>(sysconf(_SC_CLK_TCK));
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
