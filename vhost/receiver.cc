// SPDX-License-Identifier: MIT
//
// Reading: how many frames a burst asks for, and into what. Where they end up is in vhost/receiver_place.cc.
#include "vhost/receiver.h"

#include <algorithm>
#include <cerrno>

#include "vhost/tap_failure.h"

namespace tapferry {
namespace {

// Frames of a GSO stream in a burst, or with buffers for such frames: more would leave the CPU's cache before the guest sees
// them (frames of 65000 bytes, 4 KiB buffers: 5.1 to 5.6 us each by eights, 7.5 by thirty-twos).
constexpr unsigned kLargeBurst = 8;
constexpr uint64_t kLargeBytes = 16384;

// A large frame in a burst costs the copy of its tail, about 3 us of 65000 bytes; a small one that is read by itself costs a
// system call, about 0.15 us. So one in sixteen makes reading one by one the better way.
constexpr unsigned kLargeShare = 16;
constexpr unsigned kSmallInARow = 64;

// Private memory goes back after so many bursts that didn't need it.
constexpr unsigned kCalmBursts = 256;

// See after_lone_frame().
constexpr unsigned kLoneFrames = 8;

constexpr uint32_t kEthernetAndTags = 14 + 8;

bool is_next(const iovec& piece, const iovec& next) {
  return static_cast<uint8_t*>(piece.iov_base) + piece.iov_len == next.iov_base;
}

}  // namespace

Result<std::unique_ptr<Receiver>> Receiver::make(Engine* engine, QueueCounters* counters, FrameTap* frame_tap) {
  ReceiveSlots slots = TRY(ReceiveSlots::make());
  return std::unique_ptr<Receiver>(new Receiver(engine, counters, frame_tap, std::move(slots)));
}

Receiver::Receiver(Engine* engine, QueueCounters* counters, FrameTap* frame_tap, ReceiveSlots slots)
    : engine_(engine), counters_(counters), frame_tap_(frame_tap), slots_(std::move(slots)) {}

void Receiver::configure(const FrameRules& rules, const GuestMemory* memory, DirtyLog* log) {
  // What waits has the old header.
  if (rules.header_bytes != rules_.header_bytes) forget_waiting();
  rules_ = rules;
  tap_error_ = 0;
  memory_ = memory;
  log_ = log;
  const bool is_bounded = !rules.has_large_receive && rules.mtu != 0;
  max_frame_ =
      is_bounded ? std::min(kMaxFrameBytes, rules.header_bytes + kEthernetAndTags + rules.mtu) : kMaxFrameBytes;
  is_large_ = is_large_ && rules.has_mergeable_buffers;
}

Progress Receiver::run(DeviceQueue& queue) {
  ring_ = &queue.ring;
  burst_frames_ = 0;
  burst_bytes_ = 0;
  Progress progress = Progress::kStarved;
  if (!has_waiting() || place_waiting(0)) progress = is_large_ ? read_large() : read_burst();
  count_burst();
  publish(queue, *counters_);
  if (ring_->is_broken() || tap_error_ != 0) return Progress::kStopped;
  return progress;
}

void Receiver::count_burst() {
  if (burst_frames_ == 0) return;
  counters_->frames.add(burst_frames_);
  counters_->bytes.add(burst_bytes_);
  counters_->count_burst(std::min(burst_frames_, kMaxBurst));
}

// The head, and the slot behind it unless no frame can reach it. A frame that fills such a head whole may have been cut:
// the tap's MTU has grown since.
void Receiver::prepare(unsigned index) {
  const Chain& head = heads_[index];
  FrameIo& io = io_[index];
  io.pieces = head.pieces;
  io.piece_count = head.writable_pieces;
  const bool has_slot = head.writable_bytes <= max_frame_ && head.writable_pieces < kMaxChainPieces;
  fits_[index] = has_slot ? head.writable_bytes : head.writable_bytes - 1;
  if (!has_slot) return;
  head.pieces[io.piece_count++] = {slots_.at(index) + head.writable_bytes,
                                   ReceiveSlots::kSlotBytes - head.writable_bytes};
}

inline bool Receiver::is_in_place(unsigned index) const {
  const int bytes = io_[index].result;
  return bytes > static_cast<int>(rules_.header_bytes) && static_cast<uint32_t>(bytes) <= fits_[index];
}

Progress Receiver::read_burst() {
  const unsigned count = std::min(heads_.fill(*ring_, burst_), burst_);
  if (count == 0) return Progress::kStarved;
  for (unsigned i = 0; i < count; ++i) prepare(i);
  engine_->read(std::span(io_.data(), count));

  unsigned in_place = 0;
  while (in_place < count && is_in_place(in_place)) {
    settle(in_place, static_cast<uint32_t>(io_[in_place].result));
    ++in_place;
  }
  if (in_place == count) [[likely]] {
    heads_.drop_front(count);
    return count == 1 ? after_lone_frame() : (adapt(count, count, 0), Progress::kMore);
  }
  const bool saw_end = collect(in_place, count);
  const unsigned got = in_place + waiting_count_;
  const bool is_placed = place_waiting(in_place);
  if (!is_placed) return Progress::kStarved;
  if (!saw_end) return Progress::kMore;
  if (got < count) adapt(count, got, 0);
  return Progress::kIdle;
}

// Makes a list of the frames that aren't settled. True if the tap's end was seen. Among them are those that lie right, behind
// a hole or a larger one.
bool Receiver::collect(unsigned from, unsigned count) {
  bool saw_end = false;
  unsigned large = 0;
  waiting_first_ = 0;
  for (unsigned i = from; i < count; ++i) {
    const int bytes = io_[i].result;
    if (bytes == -EAGAIN) {
      saw_end = true;
    } else if (bytes <= static_cast<int>(rules_.header_bytes)) {
      note_failure(io_[i]);
    } else if (static_cast<uint32_t>(bytes) > fits_[i] && fits_[i] < heads_[i].writable_bytes) {
      counters_->count_drop(Drop::kTooLarge);  // cut
    } else {
      const auto length = static_cast<uint32_t>(bytes);
      waiting_[waiting_count_++] = {
          .slot = static_cast<uint16_t>(i), .head = static_cast<uint16_t>(i), .heads = 1, .bytes = length};
      if (length > heads_[i].writable_bytes) {
        ++large;
        touched_slots_ = std::max(touched_slots_, i + 1);
      }
    }
  }
  if (!saw_end) adapt(count, from + waiting_count_, large);
  if (large != 0) calm_bursts_ = 0;
  is_large_ = rules_.has_mergeable_buffers && large * kLargeShare > from + waiting_count_;
  small_in_a_row_ = 0;
  return saw_end;
}

void Receiver::note_failure(const FrameIo& frame) {
  if (frame.result == -EFAULT) {
    counters_->count_drop(Drop::kMemoryGone);
    touch_pages(frame);
  } else if (frame.result > 0) {
    counters_->count_drop(Drop::kOther);  // no tap has a frame that is shorter than its header
  } else if (frame.result == 0) {
    tap_error_ = EPIPE;
  } else if (is_tap_gone(frame.result)) {
    tap_error_ = -frame.result;
  }
}

// One frame was asked for and came. Where frames come one by one another read would find nothing, and an engine that tells of
// the rest saves it; but now and then it is tried, to see whether they come faster by now.
Progress Receiver::after_lone_frame() {
  if (!engine_->tells_of_rest() || ++lone_frames_ >= kLoneFrames) {
    lone_frames_ = 0;
    adapt(1, 1, 0);
    return Progress::kMore;
  }
  return Progress::kIdle;
}

// Twice as many as came when all that was asked for came; else towards what came and one more, which sees the end.
void Receiver::adapt(unsigned asked, unsigned got, unsigned large) {
  const unsigned wanted = got == asked ? asked * 2 : asked <= 2 ? 1 : (asked + got) / 2 + 1;
  const bool are_large = large != 0 || burst_bytes_ > uint64_t{burst_frames_} * kLargeBytes;
  burst_ = std::clamp(wanted, 1u, are_large ? kLargeBurst : kMaxBurst);
  if (large == 0 && touched_slots_ != 0 && ++calm_bursts_ >= kCalmBursts) {
    slots_.release();
    touched_slots_ = 0;
    calm_bursts_ = 0;
  }
}

// Pieces of heads from `first` on that hold the longest frame, or of all there are, and slot 0. Returns how many heads. Drivers
// cut buffers one after the other from larger memory, and what is one piece to us is one to the kernel.
unsigned Receiver::prepare_window(unsigned first, uint64_t* bytes) {
  constexpr unsigned kAhead = 16;
  unsigned pieces = 0;
  unsigned count = 0;
  *bytes = 0;
  while (*bytes <= max_frame_) {
    if (first + count == heads_.count() && heads_.fill(*ring_, first + count + kAhead) == first + count) break;
    const Chain& head = heads_[first + count];
    if (pieces + head.writable_pieces >= window_.size()) break;
    for (const iovec& piece : std::span(head.pieces, head.writable_pieces)) {
      if (pieces != 0 && is_next(window_[pieces - 1], piece)) {
        window_[pieces - 1].iov_len += piece.iov_len;
      } else {
        window_[pieces++] = piece;
      }
    }
    *bytes += head.writable_bytes;
    ++count;
  }
  fits_[0] = static_cast<uint32_t>(std::min<uint64_t>(*bytes, ReceiveSlots::kSlotBytes));
  if (*bytes < ReceiveSlots::kSlotBytes) window_[pieces++] = {slots_.at(0) + *bytes, ReceiveSlots::kSlotBytes - *bytes};
  io_[0] = {.pieces = window_.data(), .piece_count = pieces};
  return count;
}

Progress Receiver::read_large() {
  Progress progress = Progress::kMore;
  unsigned next = 0;
  for (unsigned i = 0; i < kLargeBurst && is_large_; ++i) {
    uint64_t bytes = 0;
    const unsigned heads = prepare_window(next, &bytes);
    if (heads == 0) {
      // One that is there has more pieces than the window.
      is_large_ = heads_.count() == next;
      progress = is_large_ ? Progress::kStarved : Progress::kMore;
      break;
    }
    engine_->read(std::span(io_.data(), 1));
    if (is_in_place(0)) {
      const unsigned used = settle(next, static_cast<uint32_t>(io_[0].result));
      next += used;
      small_in_a_row_ = used > 1 ? 0 : small_in_a_row_ + 1;
      is_large_ = small_in_a_row_ < kSmallInARow;
    } else if (io_[0].result == -EAGAIN) {
      progress = Progress::kIdle;
      break;
    } else if (io_[0].result <= static_cast<int>(rules_.header_bytes)) {
      note_failure(io_[0]);
    } else {
      waiting_first_ = 0;
      waiting_count_ = 1;
      waiting_[0] = {.slot = 0,
                     .head = static_cast<uint16_t>(next),
                     .heads = static_cast<uint16_t>(heads),
                     .bytes = static_cast<uint32_t>(io_[0].result)};
      touched_slots_ = std::max(touched_slots_, 1u);
      return place_waiting(next) ? Progress::kMore : Progress::kStarved;
    }
  }
  heads_.drop_front(next);
  return progress;
}

void Receiver::tidy() {
  if (touched_slots_ <= kLargeBurst || has_waiting()) return;
  slots_.release();
  touched_slots_ = 0;
}

}  // namespace tapferry
