// SPDX-License-Identifier: MIT
//
// SIGINT and SIGTERM as a descriptor to poll, from construction on: one that comes between two waits isn't lost, and one
// that comes during a wait leaves time to tidy up.
#pragma once

#include <csignal>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Readable once a signal came.
  int fd() const { return fd_.get(); }

  // Waits until `fd` is readable: true; false after `timeout_ms` (-1: never). The error's code is EINTR for a signal.
  Result<bool> wait(int fd, int timeout_ms) const;

 private:
  sigset_t before_;
  Fd fd_;
};

}  // namespace tapferry
