// SPDX-License-Identifier: MIT
#include "vhost/split_ring.h"

#include <string>

#include "vhost/guest_access.h"
#include "vhost/ring_layout.h"

namespace tapferry {

Status SplitRing::start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log) {
  if (config.size == 0 || config.size > kMaxQueueSize || (config.size & (config.size - 1)) != 0) {
    return Error("start", "the split ring",
                 "its size " + std::to_string(config.size) + " is no power of two up to 32768");
  }
  config_ = config;
  size_ = config.size;
  mask_ = static_cast<uint16_t>(size_ - 1);
  has_event_idx_ = config.has_event_idx;
  TRY(relocate(memory, log));
  next_avail_ = static_cast<uint16_t>(config.base);
  seen_avail_ = next_avail_;
  // Only the driver and a back-end before us know how far the used ring was filled, and it says so itself.
  next_used_ = guest_load(&used_->idx);
  published_ = next_used_;
  return {};
}

Status SplitRing::relocate(const GuestMemory* memory, DirtyLog* log) {
  const uint64_t event_bytes = has_event_idx_ ? sizeof(uint16_t) : 0;
  const RingPlace desc = {"descriptor table", config_.desc_uva, sizeof(RingDescriptor) * size_, VRING_DESC_ALIGN_SIZE};
  const RingPlace avail = {"available ring", config_.avail_uva,
                           sizeof(AvailRing) + sizeof(uint16_t) * size_ + event_bytes, VRING_AVAIL_ALIGN_SIZE};
  const RingPlace used = {"used ring", config_.used_uva, sizeof(UsedRing) + sizeof(UsedElement) * size_ + event_bytes,
                          VRING_USED_ALIGN_SIZE};
  table_ = { reinterpret_cast<const RingDescriptor*>(TRY(find_ring(desc, *memory))), size_ };
  avail_ = reinterpret_cast<const AvailRing*>(TRY(find_ring(avail, *memory)));
  used_ = reinterpret_cast<UsedRing*>(TRY(find_ring(used, *memory)));
  log_ = config_.logs_used ? log : nullptr;
  walk_ = DescriptorWalk(memory, config_.has_indirect);
  return {};
}

// Looks whether the driver has made more available.
Take SplitRing::refresh(RingFault* fault) {
  const uint16_t idx = guest_load_acquire(&avail_->idx);
  const auto ahead = static_cast<uint16_t>(idx - next_avail_);
  if (ahead == 0) return Take::kEmpty;
  // The driver can't have more available than the ring has entries, those that it hasn't got back included.
  if (ahead + unsigned{in_flight_} > size_) {
    *fault = {.rule = RingFault::Rule::kAvailJump, .descriptor = next_avail_, .value = ahead};
    return Take::kBroken;
  }
  seen_avail_ = idx;
  return Take::kTaken;
}

Take SplitRing::take(Chain* chain, iovec* pieces, unsigned room, RingFault* fault) {
  if (next_avail_ == seen_avail_) {
    const Take more = refresh(fault);
    if (more != Take::kTaken) return more;
  }
  const unsigned head = guest_load(&avail_->ring[next_avail_ & mask_]);
  if (head >= size_) [[unlikely]] {
    *fault = {.rule = RingFault::Rule::kHeadOutOfRange, .descriptor = next_avail_, .value = head};
    return Take::kBroken;
  }
  const Take take = walk_.split(table_, head, chain, pieces, room, fault);
  if (take == Take::kTaken) {
    next_avail_++;
    in_flight_++;
  }
  return take;
}

void SplitRing::give_back() {
  next_avail_--;
  in_flight_--;
}

void SplitRing::push_used(const Chain& chain, uint32_t written) {
  UsedElement* const element = &used_->ring[next_used_ & mask_];
  guest_store(&element->id, uint32_t{chain.id});
  guest_store(&element->length, written);
  next_used_++;
  in_flight_--;
  if (log_ != nullptr) log_used(element, sizeof *element);
}

bool SplitRing::publish() {
  if (next_used_ == published_) return false;
  const uint16_t before = published_;
  published_ = next_used_;
  guest_store_release(&used_->idx, published_);
  if (log_ != nullptr) log_used(&used_->idx, sizeof used_->idx);
  // Its partner: the driver stores used_event (or flags), fences, and looks at the used index again before it waits.
  guest_full_fence();
  if (!has_event_idx_) return (guest_load(&avail_->flags) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
  const uint16_t event = guest_load(&avail_->ring[size_]);
  // The back-end before us may have published without notifying.
  if (is_first_publish_) {
    is_first_publish_ = false;
    return true;
  }
  return vring_need_event(event, published_, before) != 0;
}

bool SplitRing::arm_kicks() {
  if (has_event_idx_) {
    guest_store(avail_event(), seen_avail_);
    if (log_ != nullptr) log_used(avail_event(), sizeof(uint16_t));
  } else if (kicks_ != Kicks::kArmed) {
    guest_store(&used_->flags, uint16_t{0});
    if (log_ != nullptr) log_used(&used_->flags, sizeof used_->flags);
  }
  kicks_ = Kicks::kArmed;
  // Its partner: the driver stores the available index, fences, and looks whether it shall kick.
  guest_full_fence();
  return seen_avail_ != next_avail_ || guest_load(&avail_->idx) != seen_avail_;
}

void SplitRing::disarm_kicks() {
  // With EVENT_IDX, avail_event stays behind what is available, which asks for no kick.
  if (has_event_idx_ || kicks_ == Kicks::kDisarmed) return;
  kicks_ = Kicks::kDisarmed;
  guest_store(&used_->flags, uint16_t{VRING_USED_F_NO_NOTIFY});
  if (log_ != nullptr) log_used(&used_->flags, sizeof used_->flags);
}

// After the field was written, as the kernel's vhost does: see DirtyLog::mark().
void SplitRing::log_used(const void* field, uint64_t length) {
  const auto offset = static_cast<uint64_t>(static_cast<const uint8_t*>(field) - reinterpret_cast<uint8_t*>(used_));
  log_->mark(config_.used_gpa + offset, length);
}

}  // namespace tapferry
