// SPDX-License-Identifier: MIT
//
// How a queue pair's thread reads and writes its tap and how it sleeps. Two of them: io_uring (vhost/uring_engine.cc) and
// plain calls with epoll (vhost/epoll_engine.cc).
//
// read() and write() do a burst and return when all of it is done: nothing that names guest memory outlives the call, so a
// thread that is outside of it can be stopped, and its memory unmapped, without draining anything.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

#include "base/result.h"

namespace tapferry {

inline constexpr unsigned kMaxBurst = 64;  // frames

// One frame.
struct FrameIo {
  iovec* pieces = nullptr;
  unsigned piece_count = 0;
  int result = 0;  // bytes, or a negative errno value; -EAGAIN: nothing there, or no room
};

// What wait() saw; bits.
enum Ready : unsigned {
  kReadyTap = 1,      // the tap has frames (perhaps)
  kReadyTxKick = 2,   // the guest has made frames available
  kReadyRxKick = 4,   // the guest has made buffers available
  kReadyControl = 8,  // wake() was called
  kReadyTapOut = 16,  // the tap takes frames again; only after want_tap_out()
};

enum class EngineKind { kAuto, kUring, kEpoll };

class Engine {
 public:
  virtual ~Engine() = default;

  virtual const char* name() const = 0;  // "io_uring", "epoll"

  // Frames in order; those after the first that could not be written are tried too, unless that had no room and each is a
  // call of its own. (So a tap that gets room in the midst of a burst can take a later one first.) At most kMaxBurst.
  virtual void write(std::span<FrameIo> frames) = 0;
  virtual void read(std::span<FrameIo> frames) = 0;

  // Sleeps until something of Ready, or for `timeout_us` (-1: no limit, 0: looks only). Descriptors are seen as edges: what was
  // ready and not used up is not told again.
  virtual unsigned wait(int timeout_us) = 0;
  // Looks by the way, while frames stream: `frames` were moved since the last time. Costs nothing, or a system call now and then.
  // Whoever knows that the tap has more needn't ask for it (`wants_tap`).
  virtual unsigned glance(unsigned frames, bool wants_tap) = 0;
  // wait() tells of a tap that was read since it last told, and has more: whoever reads needn't go on until -EAGAIN.
  virtual bool tells_of_rest() const = 0;
  // The eventfds of the two queues, -1 for none; watched from now on instead of those before, and reported once at once.
  virtual Status watch_kicks(int rx_fd, int tx_fd) = 0;
  virtual void want_tap_out() = 0;

  // System calls made so far, for the counters.
  virtual uint64_t system_calls() const = 0;
};

struct EngineOptions {
  EngineKind kind = EngineKind::kAuto;
  int tap_fd = -1;      // non-blocking; not owned
  int control_fd = -1;  // eventfd that wakes the thread; not owned
  // From how many frames on io_uring does a burst by its ring; smaller ones go by a call for each. 0: as measured best.
  unsigned min_ring_burst = 0;
};

// Made by the thread that will use it (IORING_SETUP_SINGLE_ISSUER). kUring: an error says why this kernel doesn't allow it.
// kAuto: epoll then, and `reason` says why.
Result<std::unique_ptr<Engine>> make_engine(const EngineOptions& options, std::string* reason);

}  // namespace tapferry
