// SPDX-License-Identifier: MIT
#include "vhost/packed_ring.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "vhost/guest_access.h"
#include "vhost/ring_layout.h"

namespace tapferry {
namespace {

constexpr uint16_t kAvail = 1U << VRING_PACKED_DESC_F_AVAIL;
constexpr uint16_t kUsed = 1U << VRING_PACKED_DESC_F_USED;

bool is_available(uint64_t rest, bool wrap) {
  const auto flags = static_cast<uint16_t>(rest >> 48);
  return ((flags & kAvail) != 0) == wrap && ((flags & kUsed) != 0) != wrap;
}

// A used descriptor's last three fields (2.8.4): WRITE says that the length is one.
uint64_t used_word(const UsedElement& element, bool wrap) {
  const unsigned flags = (wrap ? kAvail | kUsed : 0U) | (element.length != 0 ? VRING_DESC_F_WRITE : 0U);
  return element.length | uint64_t{element.id} << 32 | uint64_t{flags} << 48;
}

// The event suppression structure (2.8.10), both fields at once.
uint32_t event_word(uint32_t place, uint32_t flags) { return place | flags << 16; }

}  // namespace

void PackedRing::Place::advance(unsigned steps, unsigned size) {
  unsigned to = index + steps;
  if (to >= size) {
    to -= size;
    wrap = !wrap;
  }
  index = static_cast<uint16_t>(to);
}

void PackedRing::Place::retreat(unsigned steps, unsigned size) {
  unsigned to = index + size - steps;
  if (to >= size) {
    to -= size;
  } else {
    wrap = !wrap;
  }
  index = static_cast<uint16_t>(to);
}

Status PackedRing::start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log) {
  if (config.size == 0 || config.size > kMaxQueueSize) {
    return Error("start", "the packed ring", "its size " + std::to_string(config.size) + " isn't 1 to 32768");
  }
  config_ = config;
  size_ = config.size;
  has_event_idx_ = config.has_event_idx;
  is_in_order_ = config.is_in_order;
  progress_ = config.progress != nullptr ? config.progress : &own_progress_;
  TRY(relocate(memory, log));
  const bool resumes = config.resumes && config.progress != nullptr;
  if (!resumes) progress_->store(config.base, 0);
  return resume();
}

// Goes on where progress_ says; writes a batch again that was cut off.
Status PackedRing::resume() {
  next_used_ = Place::decoded(progress_->base());
  const unsigned count = progress_->count();
  unsigned slots = 0;
  for (unsigned i = 0; i < std::min(count, RingProgress::kMaxElements); i++) slots += progress_->elements[i].slots;
  if (next_used_.index >= size_ || count > RingProgress::kMaxElements || slots > size_) {
    return Error("start", "the packed ring", "its base " + std::to_string(progress_->base()) + " is outside of it");
  }
  if (count != 0 && is_available(guest_load(&ring_[next_used_.index].rest), next_used_.wrap)) {
    collected_ = count;
    write_out();
  } else {
    next_used_.advance(slots, size_);
    progress_->store(base_of(next_used_), 0);
  }
  next_avail_ = next_used_;
  checked_ = next_used_;
  return {};
}

Status PackedRing::relocate(const GuestMemory* memory, DirtyLog* log) {
  const RingPlace desc = {"descriptor ring", config_.desc_uva, sizeof(RingDescriptor) * size_, VRING_DESC_ALIGN_SIZE};
  const RingPlace driver = {"driver event area", config_.avail_uva, sizeof(uint32_t), sizeof(uint32_t)};
  const RingPlace device = {"device event area", config_.used_uva, sizeof(uint32_t), sizeof(uint32_t)};
  ring_ = { reinterpret_cast<RingDescriptor*>(TRY(find_ring(desc, *memory))), size_ };
  driver_event_ = reinterpret_cast<const uint32_t*>(TRY(find_ring(driver, *memory)));
  device_event_ = reinterpret_cast<uint32_t*>(TRY(find_ring(device, *memory)));
  // The front-end gives one address to log for, and front-ends differ in which; the memory table has them all.
  ring_gpa_ = memory->gpa_of(ring_.data());
  event_gpa_ = memory->gpa_of(device_event_);
  log_ = config_.logs_used ? log : nullptr;
  walk_ = DescriptorWalk(memory, config_.has_indirect, config_.is_send);
  return {};
}

Take PackedRing::take(Chain* chain, iovec* pieces, unsigned room, RingFault* fault) {
  // All of it is taken: what looks available now would be taken twice.
  if (in_flight_ == size_) return Take::kEmpty;
  const uint64_t rest = guest_load_acquire(&ring_[next_avail_.index].rest);
  if (!is_available(rest, next_avail_.wrap)) return Take::kEmpty;
  const Take take = walk_.packed(ring_, next_avail_.index, rest, size_ - in_flight_, chain, pieces, room, fault);
  if (take == Take::kTaken) {
    next_avail_.advance(chain->slots, size_);
    in_flight_ += chain->slots;
  }
  return take;
}

void PackedRing::give_back(const Chain& chain) {
  next_avail_.retreat(chain.slots, size_);
  in_flight_ -= chain.slots;
}

void PackedRing::push_used(const Chain& chain, uint32_t written) {
  in_flight_ -= chain.slots;
  const bool is_read_only = is_in_order_ && chain.writable_pieces == 0;
  if (may_join_ && is_read_only) {
    UsedElement& latest = progress_->elements[collected_ - 1];
    latest.id = chain.id;
    latest.slots += chain.slots;
  } else {
    if (collected_ == RingProgress::kMaxElements) write_out();
    progress_->elements[collected_++] = {chain.id, chain.slots, written};
  }
  may_join_ = is_read_only;
}

inline void PackedRing::write_used(unsigned index, uint64_t word) {
  uint64_t* const rest = &ring_[index].rest;
  guest_store_release(rest, word);
  if (log_ != nullptr) [[unlikely]] {
    log_->mark(ring_gpa_ + sizeof(RingDescriptor) * index + offsetof(RingDescriptor, rest), sizeof *rest);
  }
}

// Shows the driver what was collected, in the order that vhost/ring_progress.h asks for.
void PackedRing::write_out() {
  progress_->store(base_of(next_used_), collected_);
  const UsedElement* const elements = progress_->elements.data();
  const unsigned first = next_used_.index;
  const uint64_t first_word = used_word(elements[0], next_used_.wrap);
  // In locals: a place that is stored by halves and loaded as a whole costs 12 cycles each time.
  unsigned index = first;
  bool wrap = next_used_.wrap;
  for (unsigned i = 0; i < collected_; i++) {
    if (i != 0) write_used(index, used_word(elements[i], wrap));
    index += elements[i].slots;
    if (index >= size_) {
      index -= size_;
      wrap = !wrap;
    }
  }
  write_used(first, first_word);
  next_used_ = {static_cast<uint16_t>(index), wrap};
  progress_->store(base_of(next_used_), 0);
  collected_ = 0;
  may_join_ = false;
}

bool PackedRing::publish() {
  if (collected_ != 0) write_out();
  if (checked_ == next_used_) return false;
  const Place before = checked_;
  checked_ = next_used_;
  // Its partner: the driver stores its event structure, fences, and looks at the next used descriptor again before it waits.
  guest_full_fence();
  return wants_notification(before);
}

// What was used lies between `before` and checked_.
bool PackedRing::wants_notification(Place before) {
  const uint32_t event = guest_load(driver_event_);
  const unsigned flags = event >> 16 & 3;
  // The back-end before us may have published without notifying.
  const bool is_first = std::exchange(is_first_publish_, false);
  if (flags == VRING_PACKED_EVENT_FLAG_DISABLE) return false;
  if (is_first || flags != VRING_PACKED_EVENT_FLAG_DESC || !has_event_idx_) return true;
  const Place wanted = Place::decoded(event);
  // All three as distances in the lap that checked_ is in; what was in the lap before is that much less.
  const auto lap = static_cast<uint16_t>(size_);
  const auto at = static_cast<uint16_t>(wanted.wrap == checked_.wrap ? wanted.index : wanted.index - lap);
  const auto from = static_cast<uint16_t>(before.wrap == checked_.wrap ? before.index : before.index - lap);
  return vring_need_event(at, checked_.index, from) != 0;
}

void PackedRing::store_event(uint32_t value) {
  if (is_event_known_ && event_ == value) return;
  is_event_known_ = true;
  event_ = value;
  guest_store_release(device_event_, value);
  if (log_ != nullptr) log_->mark(event_gpa_, sizeof *device_event_);
}

bool PackedRing::arm_kicks() {
  const uint32_t at = next_avail_.encoded();
  store_event(has_event_idx_ ? event_word(at, VRING_PACKED_EVENT_FLAG_DESC)
                             : event_word(0, VRING_PACKED_EVENT_FLAG_ENABLE));
  // Its partner: the driver makes a descriptor available, fences, and looks whether it shall kick.
  guest_full_fence();
  if (in_flight_ == size_) return false;
  return is_available(guest_load_acquire(&ring_[next_avail_.index].rest), next_avail_.wrap);
}

void PackedRing::disarm_kicks() { store_event(event_word(0, VRING_PACKED_EVENT_FLAG_DISABLE)); }

uint32_t PackedRing::base() const {
  Place place = next_avail_;
  if (in_flight_ != 0) place.retreat(in_flight_, size_);
  return base_of(place);
}

}  // namespace tapferry
