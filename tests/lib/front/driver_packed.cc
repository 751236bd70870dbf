// SPDX-License-Identifier: MIT
#include "tests/lib/front/driver_packed.h"

#include <cstring>

#include "vhost/guest_access.h"

namespace tapferry::front {
namespace {

constexpr uint16_t kAvail = 1 << VRING_PACKED_DESC_F_AVAIL;
constexpr uint16_t kUsed = 1 << VRING_PACKED_DESC_F_USED;

}  // namespace

Result<std::unique_ptr<DriverRing>> DriverPacked::make(const RingOptions& options, GuestMemoryFile* memory) {
  std::unique_ptr<DriverPacked> ring(new DriverPacked(options));
  const uint64_t size = options.size;
  RingAddresses& at = ring->addresses_;
  at.desc = TRY(memory->allocate(16 * size, 4096));
  at.avail = TRY(memory->allocate(4, 4096));
  at.used = TRY(memory->allocate(4, 4096));
  ring->tables_gpa_ = TRY(memory->allocate(options.indirect_entries * sizeof(vring_packed_desc) * size + 16, 4096));
  memset(memory->at(at.desc), 0, 16 * size);
  memset(memory->at(at.avail), 0, 4);
  memset(memory->at(at.used), 0, 4);
  ring->ring_ = reinterpret_cast<vring_packed_desc*>(memory->at(at.desc));
  ring->driver_ = reinterpret_cast<vring_packed_desc_event*>(memory->at(at.avail));
  ring->device_ = reinterpret_cast<vring_packed_desc_event*>(memory->at(at.used));
  ring->tables_ = reinterpret_cast<vring_packed_desc*>(memory->at(ring->tables_gpa_));
  ring->ids_.resize(size);
  ring->order_.resize(size);
  for (unsigned i = options.size; i-- > 0;) ring->free_ids_.push_back(static_cast<uint16_t>(i));
  ring->free_slots_ = options.size;
  return std::unique_ptr<DriverRing>(std::move(ring));
}

bool DriverPacked::add(std::span<const Buffer> chain, bool is_indirect, uint64_t cookie) {
  const size_t slots = is_indirect ? 1 : chain.size();
  if (chain.empty() || slots > free_slots_ || free_ids_.empty()) return false;
  if (is_indirect && chain.size() > options_.indirect_entries) return false;
  uint16_t id = avail_.index;  // IN_ORDER: the place is as good an id as any
  if (!options_.is_in_order) {
    id = free_ids_.back();
    free_ids_.pop_back();
  }
  vring_packed_desc* table = tables_ + size_t{id} * options_.indirect_entries;
  for (size_t i = 0; is_indirect && i < chain.size(); ++i) {
    const int flags = chain[i].is_writable ? VRING_DESC_F_WRITE : 0;
    table[i] = {chain[i].gpa, chain[i].bytes, 0, static_cast<uint16_t>(flags)};
  }
  for (size_t i = 0; i < slots; ++i) {
    const bool is_last = i + 1 == slots;
    int flags = (avail_.wrap ? kAvail : kUsed) | (is_last ? 0 : VRING_DESC_F_NEXT);
    vring_packed_desc& desc = ring_[avail_.index];
    if (is_indirect) {
      const uint64_t gpa = tables_gpa_ + size_t{id} * options_.indirect_entries * sizeof(vring_packed_desc);
      guest_store(&desc.addr, static_cast<__le64>(gpa));
      guest_store(&desc.len, static_cast<uint32_t>(chain.size() * sizeof(vring_packed_desc)));
      flags |= VRING_DESC_F_INDIRECT;
    } else {
      guest_store(&desc.addr, static_cast<__le64>(chain[i].gpa));
      guest_store(&desc.len, chain[i].bytes);
      flags |= chain[i].is_writable ? VRING_DESC_F_WRITE : 0;
    }
    guest_store(&desc.id, id);
    if (unpublished_++ == 0) {
      held_index_ = avail_.index;
      held_flags_ = static_cast<uint16_t>(flags);
    } else {
      guest_store_release(&desc.flags, static_cast<uint16_t>(flags));
    }
    avail_.advance(1, options_.size);
  }
  ids_[id] = {cookie, sequence_, static_cast<uint16_t>(slots)};
  order_[sequence_++ % options_.size] = id;
  free_slots_ -= static_cast<unsigned>(slots);
  ++outstanding_;
  return true;
}

bool DriverPacked::publish() {
  if (unpublished_ == 0) return false;
  guest_store_release(&ring_[held_index_].flags, held_flags_);
  const unsigned count = unpublished_;
  unpublished_ = 0;
  guest_full_fence();  // with the device's fence between writing its event suppression and reading the descriptor
  const uint16_t flags = guest_load_acquire(&device_->flags) & 3;
  const uint16_t off_wrap = guest_load(&device_->off_wrap);
  if (!options_.has_event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC) return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
  unsigned event = off_wrap & 0x7fff;
  if ((off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != static_cast<int>(avail_.wrap)) event -= options_.size;
  return passes_event(static_cast<uint16_t>(event), avail_.index, static_cast<uint16_t>(avail_.index - count));
}

bool DriverPacked::finish(uint16_t id, uint32_t written, Used* used) {
  *used = {ids_[id].cookie, written};
  used_.advance(ids_[id].count, options_.size);
  free_slots_ += ids_[id].count;
  ids_[id].count = 0;
  --outstanding_;
  ++finished_;
  if (!options_.is_in_order) free_ids_.push_back(id);
  return true;
}

bool DriverPacked::next_used(Used* used) {
  if (finished_ < batch_end_) {
    const bool is_last = finished_ + 1 == batch_end_;
    return finish(order_[finished_ % options_.size], is_last ? batch_written_ : 0, used);
  }
  const vring_packed_desc& desc = ring_[used_.index];
  const uint16_t flags = guest_load_acquire(&desc.flags);
  const bool is_avail = (flags & kAvail) != 0;
  const bool is_used = (flags & kUsed) != 0;
  if (outstanding_ == 0 || is_avail != is_used || is_used != used_.wrap) return false;
  const uint16_t id = guest_load(&desc.id);
  const uint32_t written = guest_load(&desc.len);
  if (id >= options_.size || ids_[id].count == 0) {
    note("the device used an id that it doesn't have:", id);
    return false;
  }
  const uint64_t sequence = ids_[id].sequence;
  if (!options_.is_in_order) {
    if (sequence != finished_) note("the device used out of order the id", id);
    return finish(id, written, used);
  }
  batch_end_ = sequence + 1;
  batch_written_ = written;
  const bool is_last = finished_ + 1 == batch_end_;
  return finish(order_[finished_ % options_.size], is_last ? batch_written_ : 0, used);
}

bool DriverPacked::ask_for_calls(bool on) {
  uint16_t flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
  if (on && options_.has_event_idx) {
    const int off_wrap = used_.index | (used_.wrap ? 1 << VRING_PACKED_EVENT_F_WRAP_CTR : 0);
    guest_store(&driver_->off_wrap, static_cast<uint16_t>(off_wrap));
    flags = VRING_PACKED_EVENT_FLAG_DESC;
  }
  guest_store_release(&driver_->flags, flags);
  guest_full_fence();
  const uint16_t seen = guest_load(&ring_[used_.index].flags);
  return outstanding_ != 0 && ((seen & kUsed) != 0) == used_.wrap && ((seen & kAvail) != 0) == used_.wrap;
}

}  // namespace tapferry::front
