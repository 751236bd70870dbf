// SPDX-License-Identifier: MIT
#include "vhost/sender.h"

#include <cerrno>
#include <climits>

#include "vhost/tap_failure.h"

namespace tapferry {
namespace {

// Of a frame that is written or dropped; no system call returns it.
constexpr int kSettled = INT_MIN;

Drop why(int result) {
  switch (-result) {
    case EINVAL:
    case EMSGSIZE: return Drop::kRefused;
    case EIO: return Drop::kLinkDown;
    case EFAULT: return Drop::kMemoryGone;
    default: return Drop::kOther;
  }
}

}  // namespace

Sender::Sender(Engine* engine, PairCounters* counters, FrameTap* frame_tap)
    : engine_(engine), counters_(counters), frame_tap_(frame_tap) {}

void Sender::configure(const FrameRules& rules) {
  const bool is_same = coalescer_ != nullptr && rules.header_bytes == rules_.header_bytes &&
                       rules.merge.tcp4 == rules_.merge.tcp4 && rules.merge.tcp6 == rules_.merge.tcp6 &&
                       rules.merge.udp == rules_.merge.udp;
  rules_ = rules;
  tap_error_ = 0;
  if (is_same) return;
  coalescer_ = rules.merge.any() ? std::make_unique<Coalescer>(rules.merge, rules.header_bytes) : nullptr;
  merged_before_ = {};
}

Progress Sender::run(DeviceQueue& queue) {
  Progress progress = Progress::kMore;
  if (is_blocked_) [[unlikely]] {
    is_blocked_ = !retry();
  } else {
    progress = take_burst(queue.ring, queue.is_enabled);
    if (frame_count_ != 0) {
      counters_->tx.count_burst(frame_count_);
      merge();
      engine_->write(outs_);
      is_blocked_ = !settle();
    }
  }
  if (is_blocked_ && tap_error_ == 0) [[unlikely]]
    return Progress::kBlocked;
  complete(queue.ring);
  publish(queue, counters_->tx);
  if (queue.ring.is_broken() || tap_error_ != 0) return Progress::kStopped;
  return progress;
}

Progress Sender::take_burst(Virtqueue& ring, bool is_enabled) {
  chain_count_ = 0;
  frame_count_ = 0;
  unsigned used = 0;
  while (chain_count_ < kMaxBurst) {
    Chain& chain = chains_[chain_count_];
    const Take taken = ring.take(&chain, &pieces_[used], kPieces - used);
    if (taken == Take::kNoRoom) return Progress::kMore;
    if (taken != Take::kTaken) return taken == Take::kEmpty ? Progress::kIdle : Progress::kStopped;
    used += chain.readable_pieces + unsigned{chain.writable_pieces};
    is_frame_[chain_count_] = is_enabled && add(chain);
    if (!is_enabled) counters_->tx.count_drop(Drop::kDisabled);
    ++chain_count_;
  }
  return Progress::kMore;
}

// False for what can't be a frame. A header that makes no sense is for the tap to refuse.
inline bool Sender::add(const Chain& chain) {
  if (chain.writable_pieces != 0 || chain.readable_bytes < rules_.header_bytes + kMinFrameBytes) [[unlikely]] {
    counters_->tx.count_drop(chain.writable_pieces != 0 ? Drop::kOther : Drop::kTooShort);
    return false;
  }
  frames_[frame_count_].pieces = chain.pieces;
  frames_[frame_count_].piece_count = chain.readable_pieces;
  frame_bytes_[frame_count_] = chain.readable_bytes - rules_.header_bytes;
  ++frame_count_;
  if (frame_tap_ != nullptr) [[unlikely]]
    frame_tap_->on_frame(chain.pieces, chain.readable_pieces, rules_.header_bytes,
                         chain.readable_bytes - rules_.header_bytes);
  return true;
}

void Sender::merge() {
  outs_ = std::span(frames_.data(), frame_count_);
  if (coalescer_ == nullptr) return;
  outs_ = std::span(merged_.data(), coalescer_->merge(outs_, merged_, covers_));
  const MergeCounters& now = coalescer_->counters();
  if (now.frames_made == merged_before_.frames_made) return;
  counters_->tx.merged_frames.add(now.frames_merged - merged_before_.frames_merged);
  counters_->tx.merged_into.add(now.frames_made - merged_before_.frames_made);
  merged_before_ = now;
}

// What came of the frames that have a result by now; false if the tap had no room for some.
bool Sender::settle() {
  uint64_t frames = 0;
  uint64_t bytes = 0;
  unsigned first = 0;
  bool is_done = true;
  for (size_t i = 0; i < outs_.size(); ++i) {
    const unsigned covered = covered_by(i);
    const int result = outs_[i].result;
    if (result > 0) [[likely]] {
      frames += covered;
      for (unsigned k = first; k < first + covered; ++k) bytes += frame_bytes_[k];
      outs_[i].result = kSettled;
    } else if (result == -EAGAIN) {
      is_done = false;
    } else if (result != kSettled) {
      note_failure(outs_[i], covered);
      outs_[i].result = kSettled;
    }
    first += covered;
  }
  counters_->tx.frames.add(frames);
  counters_->tx.bytes.add(bytes);
  return is_done;
}

void Sender::note_failure(const FrameIo& out, unsigned frames) {
  for (unsigned i = 0; i < frames; ++i) counters_->tx.count_drop(why(out.result));
  if (out.result == -EFAULT) touch_pages(out);
  if (is_tap_gone(out.result)) tap_error_ = -out.result;
}

// One by one, in order, up to the first that still finds no room.
bool Sender::retry() {
  for (FrameIo& out : outs_) {
    if (out.result != -EAGAIN) continue;
    engine_->write(std::span(&out, 1));
    if (out.result == -EAGAIN) break;
  }
  return settle();
}

void Sender::complete(Virtqueue& ring) {
  for (unsigned i = 0; i < chain_count_; ++i) ring.push_used(chains_[i], 0);
  chain_count_ = 0;
}

void Sender::give_back(DeviceQueue& queue) {
  if (!is_blocked_) return;
  is_blocked_ = false;
  unsigned unsent = 0;  // frames, at the end
  size_t out = outs_.size();
  while (out != 0 && outs_[out - 1].result == -EAGAIN) unsent += covered_by(--out);
  while (unsent != 0) {
    const unsigned last = --chain_count_;
    queue.ring.give_back(chains_[last]);
    if (is_frame_[last]) --unsent;
  }
  for (size_t i = 0; i < out; ++i) {
    if (outs_[i].result == -EAGAIN) note_failure(outs_[i], covered_by(i));
  }
  complete(queue.ring);
  publish(queue, counters_->tx);
}

}  // namespace tapferry
