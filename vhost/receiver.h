// SPDX-License-Identifier: MIT
//
// Frames from the tap into the guest's buffers.
//
// A frame's length can't be asked before it is read, and a read into too little room cuts it without a word. So each read of a burst
// has one head of the guest's and goes on in private memory behind it (vhost/receive_slots.h); nothing is lost then, and a frame that
// fits its head, as nearly all do, needs no copy. The rest is what this class is about:
//
// - Heads are used strictly in available order. Reads that found nothing leave holes, and a frame that is larger than its head needs
//   those into which later frames were read; these are moved on.
// - A frame that lacks heads waits in private memory, and nothing is read until it is gone.
// - While large frames stream (GSO), they are read one by one into as many heads as they can need, since copying their tails
//   costs more than the calls.
//
// Works for one thread, on a queue that stays as it is between configure() and give_back().
#pragma once

#include <array>
#include <memory>
#include <span>

#include "vhost/progress.h"
#include "vhost/receive_heads.h"
#include "vhost/receive_slots.h"

namespace tapferry {

class Receiver {
 public:
  // All must outlive it; `frame_tap` may be null.
  static Result<std::unique_ptr<Receiver>> make(Engine* engine, QueueCounters* counters, FrameTap* frame_tap);

  void configure(const FrameRules& rules, const GuestMemory* memory, DirtyLog* log);

  // One bounded burst; the guest knows of it when this returns.
  Progress run(DeviceQueue& queue);

  // Leaves nothing taken in the ring. Frames that wait for buffers stay.
  void give_back(DeviceQueue& queue) { heads_.give_back_all(queue.ring); }
  void forget_waiting() { waiting_count_ = 0; }
  bool has_waiting() const { return waiting_count_ != 0; }
  // Before sleeping: private memory that a burst of large frames has left behind.
  void tidy();

  // The errno value for which a read of the tap failed for good; 0 if none.
  int tap_error() const { return tap_error_; }

 private:
  // A frame that isn't where it belongs: in its head and slot as it was read, or saved, then all of it in its slot.
  struct Waiting {
    uint16_t slot = 0;
    uint16_t head = 0;   // of those held; while it isn't saved
    uint16_t heads = 0;  // that it was read into
    bool is_saved = false;
    uint32_t bytes = 0;  // with its vnet header
  };
  enum class Fit { kFits, kLacks, kNever };

  Receiver(Engine* engine, QueueCounters* counters, FrameTap* frame_tap, ReceiveSlots slots);

  Progress read_burst();
  Progress read_large();
  void prepare(unsigned index);
  unsigned prepare_window(unsigned first, uint64_t* bytes);
  bool is_in_place(unsigned index) const;
  bool collect(unsigned from, unsigned count);
  void note_failure(const FrameIo& frame);
  Progress after_lone_frame();
  void adapt(unsigned asked, unsigned got, unsigned large);

  bool place_waiting(unsigned next);
  Fit find_heads(unsigned next, uint32_t bytes, unsigned* count);
  void put(Waiting& frame, unsigned next, unsigned count);
  void save(Waiting& frame);
  uint64_t bytes_of(unsigned first, unsigned count);
  void copy_to_heads(unsigned head, const uint8_t* from, uint32_t bytes);

  unsigned settle(unsigned first, uint32_t bytes);
  void set_num_buffers(unsigned first, uint16_t count);
  void log_written(const Chain& chain, uint32_t bytes);
  void show(unsigned first, unsigned count, uint32_t bytes);
  void count_burst();

  Engine* engine_;
  QueueCounters* counters_;
  FrameTap* frame_tap_;
  Virtqueue* ring_ = nullptr;  // during run()
  FrameRules rules_;
  const GuestMemory* memory_ = nullptr;
  DirtyLog* log_ = nullptr;

  uint32_t max_frame_ = kMaxFrameBytes;  // that can come, with its header
  unsigned burst_ = 1;                   // how many frames the next burst asks for
  bool is_large_ = false;                // large frames stream
  unsigned lone_frames_ = 0;             // that came when one was asked for
  unsigned small_in_a_row_ = 0;          // of frames, while they do
  unsigned calm_bursts_ = 0;             // that left nothing in private memory
  unsigned touched_slots_ = 0;           // of them, from the first
  int tap_error_ = 0;
  uint32_t burst_frames_ = 0;  // settled in this run
  uint64_t burst_bytes_ = 0;

  ReceiveHeads heads_;
  ReceiveSlots slots_;
  std::array<FrameIo, kMaxBurst> io_;
  std::array<uint32_t, kMaxBurst> fits_;  // the longest frame that is whole in its head
  std::array<Waiting, kMaxBurst> waiting_;
  unsigned waiting_first_ = 0;
  unsigned waiting_count_ = 0;
  std::array<iovec, kMaxChainPieces> window_;
};

}  // namespace tapferry
