// SPDX-License-Identifier: MIT
//
// The thread of one queue pair: moves frames between the pair's two virtqueues and one queue of the tap, and sleeps when there is
// nothing to do.
//
// The main thread changes what the worker uses only while it is parked: between park() and resume() the worker touches neither
// guest memory nor its queues.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/coalescer.h"
#include "vhost/counters.h"
#include "vhost/dirty_log.h"
#include "vhost/engine.h"
#include "vhost/memory.h"
#include "vhost/virtqueue.h"

namespace tapferry {

// One virtqueue as the front-end has set it up.
struct DeviceQueue {
  Virtqueue ring;
  Fd kick;
  Fd call;
  Fd err;
  bool is_enabled = false;  // SET_VRING_ENABLE; a send queue that is not is drained and discarded
};

// What was negotiated, as far as frames are concerned.
struct FrameRules {
  unsigned header_bytes = 12;  // vnet header: 12 with VERSION_1 or MRG_RXBUF, else 10
  bool has_mergeable_buffers = false;
  bool has_large_receive =
      false;            // the guest accepts GSO frames (any of GUEST_TSO4/6, USO): frames up to 65550 bytes can come
  unsigned mtu = 1500;  // of the tap: no frame without GSO is larger than this and its headers
  MergeTypes merge;     // nothing set: no coalescing
};

// Sees each frame that passes; for --pcap. Called by the worker's thread with the vnet header left out.
class FrameTap {
 public:
  virtual ~FrameTap() = default;
  virtual void on_frame(const iovec* pieces, unsigned piece_count, unsigned skip_bytes, uint32_t frame_bytes) = 0;
};

struct WorkerOptions {
  unsigned pair = 0;
  int tap_fd = -1;  // not owned
  EngineKind engine = EngineKind::kAuto;
  unsigned busy_poll_us = 0;
  FrameTap* frame_tap = nullptr;
  int event_fd = -1;  // eventfd of the main thread, written when has_trouble() has become true
};

class Worker {
 public:
  // Starts the thread, parked; it has made its engine when this returns, so that the sandbox can be closed then.
  static Result<std::unique_ptr<Worker>> start(const WorkerOptions& options);
  // Ends and joins the thread.
  virtual ~Worker() = default;

  // Returns when the thread is parked; may be called when it is.
  virtual void park() = 0;
  virtual void resume() = 0;

  // Only while parked. Kick descriptors are looked at again on resume().
  virtual DeviceQueue& rx() = 0;
  virtual DeviceQueue& tx() = 0;
  virtual void set_rules(const FrameRules& rules) = 0;
  virtual void set_memory(const GuestMemory* memory, DirtyLog* log) = 0;  // log: null while nothing is to be logged
  // Frames that wait in private memory for buffers of the guest's are dropped: another guest comes.
  virtual void forget_pending() = 0;
  // A frame (RARP, without vnet header) that the guest is to get or the tap to send. To the tap: written at once.
  virtual Status send_to_tap(const void* frame, size_t bytes) = 0;

  virtual const char* engine_name() const = 0;
  virtual const std::string& engine_reason() const = 0;  // why it isn't io_uring; empty if it is, or was asked for

  virtual const PairCounters& counters() const = 0;
  // A ring broke a rule, or guest memory is gone. Told once; the queue stays stopped until it is set up again.
  virtual bool has_trouble() const = 0;
  virtual std::string take_trouble() = 0;
};

}  // namespace tapferry
