// SPDX-License-Identifier: MIT
//
// The engine for kernels and containers that don't allow io_uring: one read or write for each frame, epoll(7) to sleep.
#pragma once

#include "base/fd.h"
#include "vhost/engine.h"

namespace tapferry {

class EpollEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> make(const EngineOptions& options);

  const char* name() const override { return "epoll"; }
  void write(std::span<FrameIo> frames) override;
  void read(std::span<FrameIo> frames) override;
  unsigned wait(int timeout_us) override;
  unsigned glance(unsigned frames, bool wants_tap) override;
  bool tells_of_rest() const override { return false; }
  Status watch_kicks(int rx_fd, int tx_fd) override;
  void want_tap_out() override;
  uint64_t system_calls() const override { return system_calls_; }

 private:
  explicit EpollEngine(const EngineOptions& options) : options_(options) {}

  EngineOptions options_;
  Fd set_;
  unsigned ready_ = 0;  // seen, and not yet told
  bool wants_tap_out_ = false;
  unsigned frames_since_look_ = 0;
  uint64_t system_calls_ = 0;
};

}  // namespace tapferry
