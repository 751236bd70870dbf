// SPDX-License-Identifier: MIT
#include "vhost/observer.h"

#include <cerrno>
#include <chrono>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/syscall.h"
#include "vhost/capture.h"
#include "vhost/stats.h"

namespace tapferry {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

Result<Fd> timer_of(unsigned seconds) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd.is_open()) return Error::from_errno("make", "a timer", errno);
  itimerspec when = {};
  when.it_value.tv_sec = when.it_interval.tv_sec = static_cast<time_t>(seconds);
  if (timerfd_settime(fd.get(), 0, &when, nullptr) != 0) return Error::from_errno("set", "a timer", errno);
  return fd;
}

// Statistics are no reason to end, and their reader may.
void print(const std::string& text) { (void)write_all(STDOUT_FILENO, text, "stdout").is_ok(); }

class CountersAndFrames final : public Observer {
 public:
  CountersAndFrames(Fd timer, StatsFormat format, std::unique_ptr<Capture> capture)
      : timer_(std::move(timer)), format_(format), capture_(std::move(capture)) {}

  FrameTap* frame_tap() override { return capture_.get(); }
  int timer_fd() const override { return timer_.get(); }

  void watch(const std::vector<std::unique_ptr<Worker>>& workers) override {
    workers_ = &workers;
    report_.emplace(format_, workers.size());
    last_ = steady_clock::now();
  }
  void print_interval() override {
    const auto now = steady_clock::now();
    print(report_->interval(read(), duration_cast<milliseconds>(now - last_).count()));
    last_ = now;
  }
  void dump() override { print(report_->totals(read())); }
  void finish() override {
    if (timer_.is_open()) dump();
  }

 private:
  std::vector<PairTotals> read() const {
    std::vector<PairTotals> totals;
    for (const auto& worker : *workers_) totals.push_back(read_totals(worker->counters()));
    return totals;
  }

  Fd timer_;  // none without intervals
  StatsFormat format_;
  std::unique_ptr<Capture> capture_;  // null: no --pcap
  const std::vector<std::unique_ptr<Worker>>* workers_ = nullptr;
  std::optional<StatsReport> report_;
  steady_clock::time_point last_;
};

}  // namespace

Result<std::unique_ptr<Observer>> Observer::open(const VhostOptions& options) {
  Fd timer;
  if (options.stats_seconds != 0) timer = TRY(timer_of(options.stats_seconds));
  std::unique_ptr<Capture> capture;
  if (options.pcap) capture = TRY(Capture::create(*options.pcap));
  const StatsFormat format = options.has_json_stats ? StatsFormat::kJson : StatsFormat::kText;
  std::unique_ptr<Observer> observer =
      std::make_unique<CountersAndFrames>(std::move(timer), format, std::move(capture));
  return observer;
}

}  // namespace tapferry
