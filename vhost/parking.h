// SPDX-License-Identifier: MIT
//
// Between the main thread and a worker: a worker runs until it is asked to park, and stays parked until it is let go.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace tapferry {

class Parking {
 public:
  // The main thread's: each returns at once but wait_parked(), which returns when the worker is in wait().
  void ask_to_park() { want(State::kParked); }
  void ask_to_end() { want(State::kEnded); }
  void let_go() { want(State::kRunning); }
  void wait_parked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_parked_; });
  }

  // The worker's. Whether it is to call wait() soon.
  bool is_wanted() const { return state_.load(std::memory_order_relaxed) != State::kRunning; }
  // Returns true when it is let go, false when it is to end. What the main thread did meanwhile is seen after.
  bool wait() {
    std::unique_lock lock(mutex_);
    is_parked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return state_.load(std::memory_order_relaxed) != State::kParked; });
    is_parked_ = false;
    return state_.load(std::memory_order_relaxed) == State::kRunning;
  }

 private:
  enum class State { kRunning, kParked, kEnded };

  void want(State state) {
    const std::scoped_lock lock(mutex_);
    state_.store(state, std::memory_order_relaxed);
    changed_.notify_all();
  }

  std::atomic<State> state_ = State::kParked;
  bool is_parked_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace tapferry
