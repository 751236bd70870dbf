// SPDX-License-Identifier: MIT
//
// What people asked to see of the threads' work: counters at intervals and on demand, frames in a file.
#pragma once

#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/options.h"
#include "vhost/worker.h"

namespace tapferry {

class Observer {
 public:
  // Opens what has to be opened before the sandbox.
  static Result<std::unique_ptr<Observer>> open(const VhostOptions& options);
  virtual ~Observer() = default;

  // What the threads show each frame to; null: nobody looks.
  virtual FrameTap* frame_tap() = 0;
  // The workers live as long as this is used.
  virtual void watch(const std::vector<std::unique_ptr<Worker>>& workers) = 0;
  // A timerfd that expires at each interval, -1: none; then print_interval().
  virtual int timer_fd() const = 0;
  virtual void print_interval() = 0;
  // All counters, on stdout.
  virtual void dump() = 0;
  // The same in the end, where intervals were asked for.
  virtual void finish() = 0;
};

}  // namespace tapferry
