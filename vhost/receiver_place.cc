// SPDX-License-Identifier: MIT
//
// Placing: which heads a frame gets, and what is copied when those aren't the ones it was read into.
#include <algorithm>
#include <cstring>

#include "vhost/receiver.h"

namespace tapferry {

// The frame's bytes are in the heads from `first` on: tells the guest so, of as many heads as they are in. Returns that number.
unsigned Receiver::settle(unsigned first, uint32_t bytes) {
  unsigned count = 1;
  uint64_t room = heads_[first].writable_bytes;
  while (room < bytes) room += heads_[first + count++].writable_bytes;
  if (rules_.header_bytes >= 12) set_num_buffers(first, static_cast<uint16_t>(count));
  if (frame_tap_ != nullptr) [[unlikely]]
    show(first, count, bytes);
  uint32_t left = bytes;
  for (unsigned i = first; i < first + count; ++i) {
    const Chain& head = heads_[i];
    const uint32_t written = std::min(left, head.writable_bytes);
    if (log_ != nullptr) [[unlikely]]
      log_written(head, written);
    ring_->push_used(head, written);
    left -= written;
  }
  ++burst_frames_;
  burst_bytes_ += bytes - rules_.header_bytes;
  return count;
}

// Bytes 10 and 11 of the header (virtio 1.2, 5.1.6), which the tap leaves as they were: 1 even without MRG_RXBUF, if it is
// there at all. A guest may have cut its buffers anywhere.
void Receiver::set_num_buffers(unsigned first, uint16_t count) {
  constexpr size_t kOffset = 10;
  iovec* piece = heads_[first].pieces;
  if (piece->iov_len >= kOffset + sizeof count) [[likely]] {
    memcpy(static_cast<uint8_t*>(piece->iov_base) + kOffset, &count, sizeof count);
    return;
  }
  uint8_t bytes[sizeof count];
  memcpy(bytes, &count, sizeof count);
  size_t skip = kOffset;
  size_t done = 0;
  for (unsigned i = first; done < sizeof bytes; ++i) {
    const Chain& head = heads_[i];
    for (const iovec& part : std::span(head.pieces, head.writable_pieces)) {
      for (; skip < part.iov_len && done < sizeof bytes; ++skip) {
        static_cast<uint8_t*>(part.iov_base)[skip] = bytes[done++];
      }
      skip -= part.iov_len;
    }
  }
}

void Receiver::log_written(const Chain& chain, uint32_t bytes) {
  for (const iovec& piece : std::span(chain.pieces, chain.writable_pieces)) {
    if (bytes == 0) return;
    const auto length = static_cast<uint32_t>(std::min<size_t>(bytes, piece.iov_len));
    log_->mark(memory_->gpa_of(piece.iov_base), length);
    bytes -= length;
  }
}

void Receiver::show(unsigned first, unsigned count, uint32_t bytes) {
  unsigned pieces = 0;
  for (unsigned i = first; i < first + count; ++i) {
    const Chain& head = heads_[i];
    const auto more = std::min<size_t>(head.writable_pieces, window_.size() - pieces);
    std::copy_n(head.pieces, more, &window_[pieces]);
    pieces += static_cast<unsigned>(more);
  }
  frame_tap_->on_frame(window_.data(), pieces, rules_.header_bytes, bytes - rules_.header_bytes);
}

// Gives the waiting frames heads from `next` on, in order, and lets go of all heads before the last that was used. False when
// some frame lacks heads; all that wait are saved then.
bool Receiver::place_waiting(unsigned next) {
  while (has_waiting()) {
    Waiting& frame = waiting_[waiting_first_];
    unsigned count = 0;
    const Fit fit = find_heads(next, frame.bytes, &count);
    if (fit == Fit::kLacks) break;
    if (fit == Fit::kNever) {
      counters_->count_drop(Drop::kTooLarge);
    } else {
      put(frame, next, count);
      settle(next, frame.bytes);
      next += count;
    }
    ++waiting_first_;
    --waiting_count_;
  }
  for (unsigned i = 0; i < waiting_count_; ++i) save(waiting_[waiting_first_ + i]);
  heads_.drop_front(next);
  return !has_waiting();
}

// How many heads from `next` on the frame takes. kNever: more than the driver can ever have in the ring, or, without merging,
// more than the one head.
Receiver::Fit Receiver::find_heads(unsigned next, uint32_t bytes, unsigned* count) {
  uint64_t room = 0;
  for (unsigned i = next; room < bytes; ++i) {
    if (i == heads_.count() && heads_.fill(*ring_, i + 1) == i) {
      return next == 0 && heads_.is_all(*ring_) ? Fit::kNever : Fit::kLacks;
    }
    room += heads_[i].writable_bytes;
    ++*count;
    if (!rules_.has_mergeable_buffers && room < bytes) return Fit::kNever;
  }
  return Fit::kFits;
}

// Copies the frame to where it belongs, as far as it isn't there, having saved those that lie in its way.
void Receiver::put(Waiting& frame, unsigned next, unsigned count) {
  for (unsigned i = 1; i < waiting_count_; ++i) {
    Waiting& later = waiting_[waiting_first_ + i];
    if (later.is_saved || later.head >= next + count) continue;
    save(later);
  }
  const bool begins_right = !frame.is_saved && frame.head == next;
  if (begins_right && frame.heads >= count) return;
  counters_->moved_frames.add(1);
  if (!begins_right) {
    save(frame);
    copy_to_heads(next, slots_.at(frame.slot), frame.bytes);
    return;
  }
  const uint64_t there = bytes_of(next, frame.heads);
  copy_to_heads(next + frame.heads, slots_.at(frame.slot) + there, frame.bytes - static_cast<uint32_t>(there));
}

uint64_t Receiver::bytes_of(unsigned first, unsigned count) {
  uint64_t bytes = 0;
  for (unsigned i = first; i < first + count; ++i) bytes += heads_[i].writable_bytes;
  return bytes;
}

// Into its slot, what was read into heads.
void Receiver::save(Waiting& frame) {
  if (frame.is_saved) return;
  frame.is_saved = true;
  touched_slots_ = std::max<unsigned>(touched_slots_, frame.slot + 1u);
  uint8_t* to = slots_.at(frame.slot);
  uint32_t left = frame.bytes;
  for (unsigned i = frame.head; i < unsigned{frame.head} + frame.heads; ++i) {
    const Chain& head = heads_[i];
    for (const iovec& piece : std::span(head.pieces, head.writable_pieces)) {
      const auto length = static_cast<uint32_t>(std::min<size_t>(left, piece.iov_len));
      memcpy(to, piece.iov_base, length);
      to += length;
      left -= length;
    }
  }
}

void Receiver::copy_to_heads(unsigned head, const uint8_t* from, uint32_t bytes) {
  for (; bytes != 0; ++head) {
    const Chain& chain = heads_[head];
    for (const iovec& piece : std::span(chain.pieces, chain.writable_pieces)) {
      const auto length = static_cast<uint32_t>(std::min<size_t>(bytes, piece.iov_len));
      memcpy(piece.iov_base, from, length);
      from += length;
      bytes -= length;
    }
  }
}

}  // namespace tapferry
