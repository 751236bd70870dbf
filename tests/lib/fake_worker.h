// SPDX-License-Identifier: MIT
//
// A worker (vhost/worker.h) without a thread, a tap or an engine: what the control side does to it can be looked at.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "vhost/worker.h"

namespace tapferry {

class FakeWorker final : public Worker {
 public:
  // What belongs to the thread is touched while it is parked only, or the test ends here.
  void park() override { is_parked_ = true; }
  void resume() override { is_parked_ = false; }
  DeviceQueue& rx() override { return parked(rx_); }
  DeviceQueue& tx() override { return parked(tx_); }
  void set_rules(const FrameRules& rules) override { parked(rules_) = rules; }
  void set_memory(const GuestMemory* memory, DirtyLog* log) override {
    parked(memory_) = memory;
    log_ = log;
  }
  void forget_pending() override { ++parked(forgotten_); }
  Status send_to_tap(const void* frame, size_t bytes) override {
    sent_.emplace_back(static_cast<const char*>(frame), bytes);
    return {};
  }
  const char* engine_name() const override { return "none"; }
  const std::string& engine_reason() const override { return reason_; }
  const PairCounters& counters() const override { return counters_; }
  bool has_trouble() const override { return false; }
  std::string take_trouble() override { return ""; }

  // For the test, at any time.
  DeviceQueue& queue(unsigned ring) { return ring % 2 == 0 ? rx_ : tx_; }
  const FrameRules& rules() const { return rules_; }
  const DirtyLog* log() const { return log_; }
  unsigned forgotten() const { return forgotten_; }
  const std::vector<std::string>& sent() const { return sent_; }
  bool is_parked() const { return is_parked_; }

 private:
  template <typename T>
  T& parked(T& what) {
    if (!is_parked_) abort();
    return what;
  }

  bool is_parked_ = true;
  DeviceQueue rx_;
  DeviceQueue tx_;
  FrameRules rules_;
  const GuestMemory* memory_ = nullptr;
  DirtyLog* log_ = nullptr;
  unsigned forgotten_ = 0;
  std::vector<std::string> sent_;
  std::string reason_;
  PairCounters counters_;
};

}  // namespace tapferry
