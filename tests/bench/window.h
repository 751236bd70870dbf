// SPDX-License-Identifier: MIT
//
// When a benchmark works and counts. Those that are compared run at the same time and take turns of some milliseconds, so that
// whatever changes the machine's speed hits them alike; ten turns or so are summed up as one run. What a core did meanwhile is all
// that wasn't idle: what /proc/stat tells in hundredths of a second, and /proc/timer_list exactly (kernel/time/tick-sched.c).
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/parse.h"
#include "base/syscall.h"
#include "tests/bench/arguments.h"

namespace tapferry::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

inline std::string read_proc(const std::string& path) {
  constexpr size_t kLimit = 1 << 20;
  const auto file = open_file(path, O_RDONLY);
  const auto content = file.is_ok() ? read_all(file.value().get(), kLimit, path) : file.error();
  return content.is_ok() ? content.value() : "";
}

// Seconds since boot in which the core was idle, in hundredths.
inline double idle_by_stat(unsigned cpu) {
  constexpr size_t kIdle = 4, kIoWait = 5;  // fields of a core's line, by proc(5)
  const std::string content = read_proc("/proc/stat");
  const std::string name = "cpu" + std::to_string(cpu);
  for (const std::string_view line : split(content, '\n')) {
    const auto words = split_words(line);
    if (words.size() <= kIoWait || words[0] != name) continue;
    const uint64_t ticks =
        parse_uint(words[kIdle], 0, UINT64_MAX).value_or(0) + parse_uint(words[kIoWait], 0, UINT64_MAX).value_or(0);
    return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  Arguments::fail("/proc/stat", "doesn't show core " + std::to_string(cpu));
}

// The same, exactly, up to the core's last waking; where /proc/timer_list shows it (root, a tickless kernel). A sleep that lasts
// still is in /proc/stat alone.
inline double idle_seconds(unsigned cpu) {
  constexpr double kNs = 1e9;
  const std::string content = read_proc("/proc/timer_list");
  const size_t at = content.find("\ncpu: " + std::to_string(cpu) + "\n");
  const double by_stat = idle_by_stat(cpu);
  double ns = 0;
  for (const char* field : {".idle_sleeptime", ".iowait_sleeptime"}) {
    const size_t found = at == std::string::npos ? at : content.find(field, at);
    if (found == std::string::npos) return by_stat;
    const size_t value = content.find_first_of("0123456789", found);
    ns += static_cast<double>(
        parse_uint(content.substr(value, content.find(' ', value) - value), 0, UINT64_MAX).value_or(0));
  }
  return std::max(ns / kNs, by_stat);
}

// Seconds since boot in which some task waited for a processor; 0 where the kernel doesn't count (CONFIG_PSI).
inline double waited_seconds() {
  constexpr double kUs = 1e6;
  const std::string content = read_proc("/proc/pressure/cpu");
  for (std::string_view word : split_words(std::string_view(content).substr(0, content.find('\n')))) {
    if (consume_prefix(&word, "total=")) return static_cast<double>(parse_uint(word, 0, UINT64_MAX).value_or(0)) / kUs;
  }
  return 0;
}

class Window {
 public:
  // --turn=0 --turns=1 --turn-ms=60 --guard-ms=15 --runs=5 --run-turns=10 --watch-cpu=1; those who take turns agree by the clock.
  // --stop-pid=N: a process that never sleeps, and has to while others have their turn. --shared: that tasks wait for a core is meant.
  explicit Window(Arguments* arguments)
      : cpu_(static_cast<unsigned>(arguments->number("watch-cpu", 1))),
        turn_(arguments->number("turn", 0)),
        turns_(std::max<uint64_t>(arguments->number("turns", 1), 1)),
        length_(std::chrono::milliseconds(std::max<uint64_t>(arguments->number("turn-ms", 60), 1))),
        guard_(std::chrono::milliseconds(arguments->number("guard-ms", 15))),
        runs_wanted_(arguments->number("runs", 5)),
        run_turns_(arguments->number("run-turns", 10)),
        is_shared_(arguments->has("shared")),
        stop_pid_(static_cast<pid_t>(arguments->number("stop-pid", 0))) {}

  // To be called at least once a millisecond, with the numbers up to now; sleeps while others have their turn. False once all
  // is measured.
  bool is_open(uint64_t frames, uint64_t events = 0) {
    auto now = Clock::now();
    if (now < until_) [[likely]] {
      if (is_counting_ || now < from_) [[likely]]
        return true;
      begin({.time = now,
             .idle_s = idle_seconds(cpu_),
             .waited_s = waited_seconds(),
             .frames = frames,
             .events = events});
      return true;
    }
    if (is_counting_ && end({.time = now,
                             .idle_s = idle_seconds(cpu_),
                             .waited_s = waited_seconds(),
                             .frames = frames,
                             .events = events}))
      return false;
    wait_for_turn(now);
    return true;
  }

  // Of the run that is being taken; none between them, and for what won't count.
  std::optional<size_t> run() const {
    if (!is_counting_) return std::nullopt;
    return runs_.empty() || runs_.back().turns == run_turns_ ? runs_.size() : runs_.size() - 1;
  }

  // {"runs": [{"frames", "seconds", "busy_s", "waited_s", "events"}...], "void": turns in which others were at work on our cores};
  // `events` is whatever else was counted.
  void report() const {
    printf("{\"runs\": [");
    for (size_t i = 0; i < runs_.size(); ++i) {
      const Sum& run = runs_[i];
      printf("%s{\"frames\": %llu, \"seconds\": %.6f, \"busy_s\": %.6f, \"waited_s\": %.6f, \"events\": %llu}",
             i == 0 ? "" : ", ", static_cast<unsigned long long>(run.frames), run.seconds, run.busy_s, run.waited_s,
             static_cast<unsigned long long>(run.events));
    }
    printf("], \"void\": %llu}\n", static_cast<unsigned long long>(void_turns_));
    fflush(stdout);
  }

 private:
  // More of a turn in which tasks wait for a core: it doesn't count, unless none does.
  static constexpr double kDisturbed = 0.05;
  static constexpr uint64_t kMaxVoid = 60;

  struct Sample {
    Clock::time_point time;
    double idle_s, waited_s;
    uint64_t frames, events;
  };
  struct Sum {
    double seconds = 0, busy_s = 0, waited_s = 0;
    uint64_t frames = 0, events = 0, turns = 0;
  };

  void begin(const Sample& now) {
    begun_ = now;
    // Reading took a moment, which isn't to count.
    begun_.time = Clock::now();
    is_counting_ = true;
  }

  // True if that was the last turn.
  bool end(const Sample& now) {
    is_counting_ = false;
    const double seconds = seconds_between(begun_.time, now.time);
    const double waited = now.waited_s - begun_.waited_s;
    if (!is_shared_ && waited > kDisturbed * seconds && void_turns_ < kMaxVoid) {
      ++void_turns_;
      return false;
    }
    if (runs_.empty() || runs_.back().turns == run_turns_) runs_.emplace_back();
    Sum& run = runs_.back();
    run.seconds += seconds;
    run.busy_s += seconds - (now.idle_s - begun_.idle_s);
    run.waited_s += waited;
    run.frames += now.frames - begun_.frames;
    run.events += now.events - begun_.events;
    ++run.turns;
    return runs_.size() == runs_wanted_ && run.turns == run_turns_;
  }

  // Until the next turn of ours begins.
  void wait_for_turn(Clock::time_point now) {
    if (stop_pid_ != 0 && turns_ > 1) kill(stop_pid_, SIGSTOP);
    const auto slot = static_cast<uint64_t>(now.time_since_epoch() / length_);
    const uint64_t next = slot + (turn_ + turns_ - slot % turns_) % turns_;
    const Clock::time_point begin(next * length_);
    if (begin > now) std::this_thread::sleep_until(begin);
    if (stop_pid_ != 0) kill(stop_pid_, SIGCONT);
    until_ = begin + length_;
    from_ = begin + guard_;
  }

  unsigned cpu_;
  uint64_t turn_, turns_;
  Clock::duration length_, guard_;
  uint64_t runs_wanted_, run_turns_;
  bool is_shared_;
  pid_t stop_pid_;
  Clock::time_point from_, until_;  // of the present turn
  bool is_counting_ = false;
  Sample begun_ = {};
  std::vector<Sum> runs_;
  uint64_t void_turns_ = 0;
};

}  // namespace tapferry::bench
