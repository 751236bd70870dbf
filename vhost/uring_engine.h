// SPDX-License-Identifier: MIT
//
// A burst of frames in one io_uring_enter(2), and sleeping in it.
//
// Reads and writes of a tap that don't wait are done while they are submitted, so all completions of a burst are there when the
// call returns. Kicks are watched by multishot polls and their eventfds never read: a signal to them makes one completion, and none
// costs a system call of its own. The tap is watched by one-shot polls, armed before sleeping and only if it was read since the
// last one: while frames stream, no waiter hangs on the tap and its sender wakes nobody.
#pragma once

#include <array>
#include <liburing.h>

#include "vhost/engine.h"
#include "vhost/uring_setup.h"

namespace tapferry {

class UringEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> make(const EngineOptions& options);
  ~UringEngine() override;
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;

  const char* name() const override { return "io_uring"; }
  void write(std::span<FrameIo> frames) override;
  void read(std::span<FrameIo> frames) override;
  unsigned wait(int timeout_us) override;
  unsigned glance(unsigned frames, bool wants_tap) override;
  bool tells_of_rest() const override { return true; }
  Status watch_kicks(int rx_fd, int tx_fd) override;
  void want_tap_out() override;
  uint64_t system_calls() const override { return system_calls_; }

 private:
  // One poll that may be posted.
  struct Poll {
    UringFile file;
    Ready told;
    unsigned events;
    bool is_multishot;
    bool is_wanted = false;
    bool is_posted = false;
    bool is_dead = false;  // wouldn't wait any more
  };
  enum PollIndex : unsigned { kTap, kTapOut, kControl, kRxKick, kTxKick, kPolls };

  explicit UringEngine(const EngineOptions& options);

  void prepare_frame(io_uring_sqe* sqe, const FrameIo& frame, bool is_read, unsigned index) const;
  void do_burst(std::span<FrameIo> frames, bool is_read);
  void post(Poll& poll);
  void post_polls();
  bool has_pending_work() const;
  void remove_poll(Poll& poll);
  void look_for(int timeout_us);
  uint64_t poll_tag(const Poll& poll) const;
  unsigned reap(std::span<FrameIo> frames);
  void note(const io_uring_cqe& cqe);
  void check_entered(int result);
  // Both submit what is prepared. What doesn't wait is complete then; of polls, enter() takes what there is, and waits for
  // `wait_for` completions. The caller looks at what has come.
  void submit();
  void enter(unsigned wait_for);

  EngineOptions options_;
  size_t min_ring_burst_;
  io_uring ring_ = {};
  bool is_set_up_ = false;
  int rw_flags_ = 0;
  unsigned ready_ = 0;  // seen, and not yet told
  uint32_t generation_ = 0;
  std::array<Poll, kPolls> polls_;
  uint64_t system_calls_ = 0;
};

}  // namespace tapferry
