// SPDX-License-Identifier: MIT
//
// Frames from the guest into the tap.
//
// A burst is what the guest has made available, 64 frames at most; it is checked, merged where that gains (vhost/coalescer.h), written,
// and given back in the order in which it came, at once. A frame that the tap has no room for is kept and tried again; until then
// nothing behind it is given back and nothing new is taken.
//
// Works for one thread, on a queue that stays as it is between configure() and give_back().
#pragma once

#include <array>
#include <memory>
#include <span>

#include "vhost/coalescer.h"
#include "vhost/progress.h"

namespace tapferry {

class Sender {
 public:
  // All must outlive it; `frame_tap` may be null.
  Sender(Engine* engine, PairCounters* counters, FrameTap* frame_tap);

  void configure(const FrameRules& rules);

  // One bounded burst; the guest knows of it when this returns. kBlocked: worth another run after kReadyTapOut.
  Progress run(DeviceQueue& queue);

  // Leaves nothing taken in the ring. Frames that the tap had no room for will be taken again, but for those with one behind
  // them that went: these are lost rather than sent twice.
  void give_back(DeviceQueue& queue);

  // The errno value for which a write to the tap failed for good; 0 if none.
  int tap_error() const { return tap_error_; }

 private:
  // One chain takes kMaxChainPieces at most.
  static constexpr unsigned kPieces = 2 * kMaxChainPieces;
  // Ethernet header.
  static constexpr uint32_t kMinFrameBytes = 14;

  Progress take_burst(Virtqueue& ring, bool is_enabled);
  bool add(const Chain& chain);
  void merge();
  unsigned covered_by(size_t out) const { return coalescer_ == nullptr ? 1 : covers_[out]; }
  bool settle();
  bool retry();
  void note_failure(const FrameIo& out, unsigned frames);
  void complete(Virtqueue& ring);

  Engine* engine_;
  PairCounters* counters_;
  FrameTap* frame_tap_;
  FrameRules rules_;
  std::unique_ptr<Coalescer> coalescer_;
  MergeCounters merged_before_;
  int tap_error_ = 0;

  // The burst: chains as they came, the frames among them, and what is written instead of those.
  std::array<Chain, kMaxBurst> chains_;
  std::array<bool, kMaxBurst> is_frame_;
  unsigned chain_count_ = 0;
  std::array<FrameIo, kMaxBurst> frames_;
  std::array<uint32_t, kMaxBurst> frame_bytes_;  // without header
  unsigned frame_count_ = 0;
  std::array<FrameIo, kMaxBurst> merged_;
  std::array<uint16_t, kMaxBurst> covers_;  // how many frames each of `outs_` stands for
  std::span<FrameIo> outs_;
  bool is_blocked_ = false;
  std::array<iovec, kPieces> pieces_;
};

}  // namespace tapferry
