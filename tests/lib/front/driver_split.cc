// SPDX-License-Identifier: MIT
#include "tests/lib/front/driver_split.h"

#include <cstring>

#include "vhost/guest_access.h"

namespace tapferry::front {

Result<std::unique_ptr<DriverRing>> DriverSplit::make(const RingOptions& options, GuestMemoryFile* memory) {
  std::unique_ptr<DriverSplit> ring(new DriverSplit(options));
  const uint64_t size = options.size;
  const uint64_t table_bytes = options.indirect_entries * sizeof(vring_desc) * size;
  RingAddresses& at = ring->addresses_;
  at.desc = TRY(memory->allocate(16 * size, 4096));
  at.avail = TRY(memory->allocate(6 + 2 * size, 4096));
  at.used = TRY(memory->allocate(6 + 8 * size, 4096));
  ring->tables_gpa_ = TRY(memory->allocate(table_bytes + 16, 4096));
  memset(memory->at(at.desc), 0, 16 * size);
  memset(memory->at(at.avail), 0, 6 + 2 * size);
  memset(memory->at(at.used), 0, 6 + 8 * size);
  ring->desc_ = reinterpret_cast<vring_desc*>(memory->at(at.desc));
  ring->avail_ = reinterpret_cast<vring_avail*>(memory->at(at.avail));
  ring->used_ = reinterpret_cast<vring_used*>(memory->at(at.used));
  ring->tables_ = reinterpret_cast<vring_desc*>(memory->at(ring->tables_gpa_));
  ring->heads_.resize(size);
  ring->order_.resize(size);
  for (unsigned i = 0; i < size; ++i) ring->next_.push_back(static_cast<uint16_t>((i + 1) % size));
  ring->free_slots_ = options.size;
  return std::unique_ptr<DriverRing>(std::move(ring));
}

uint16_t* DriverSplit::used_event() const { return &avail_->ring[options_.size]; }

const uint16_t* DriverSplit::avail_event() const {
  return reinterpret_cast<const uint16_t*>(&used_->ring[options_.size]);
}

// With IN_ORDER the list is never shuffled, so that descriptors are taken in the ring's order (virtio 1.2, 2.7.9).
uint16_t DriverSplit::take_slot() {
  const uint16_t slot = first_free_;
  first_free_ = next_[slot];
  --free_slots_;
  return slot;
}

bool DriverSplit::add(std::span<const Buffer> chain, bool is_indirect, uint64_t cookie) {
  const size_t slots = is_indirect ? 1 : chain.size();
  if (chain.empty() || slots > free_slots_ || (is_indirect && chain.size() > options_.indirect_entries)) return false;
  const uint16_t head = first_free_;
  vring_desc* table = is_indirect ? tables_ + size_t{head} * options_.indirect_entries : desc_;
  uint16_t slot = is_indirect ? 0 : take_slot();
  for (size_t i = 0; i < chain.size(); ++i) {
    const bool is_last = i + 1 == chain.size();
    const uint16_t next = is_last ? 0 : is_indirect ? static_cast<uint16_t>(slot + 1) : take_slot();
    const int flags = (chain[i].is_writable ? VRING_DESC_F_WRITE : 0) | (is_last ? 0 : VRING_DESC_F_NEXT);
    table[slot] = {chain[i].gpa, chain[i].bytes, static_cast<uint16_t>(flags), next};
    slot = next;
  }
  if (is_indirect) {
    const uint64_t gpa = tables_gpa_ + size_t{head} * options_.indirect_entries * sizeof(vring_desc);
    const auto bytes = static_cast<uint32_t>(chain.size() * sizeof(vring_desc));
    desc_[take_slot()] = {gpa, bytes, VRING_DESC_F_INDIRECT, 0};
  }
  heads_[head] = {cookie, sequence_, static_cast<uint16_t>(slots)};
  order_[sequence_++ % options_.size] = head;
  guest_store(&avail_->ring[added_++ % options_.size], head);
  ++outstanding_;
  return true;
}

bool DriverSplit::publish() {
  const uint16_t before = published_;
  published_ = added_;
  guest_store_release(&avail_->idx, added_);
  guest_full_fence();  // with the device's fence between writing avail_event and reading idx
  if (options_.has_event_idx) return passes_event(guest_load(avail_event()), added_, before);
  return (guest_load(&used_->flags) & VRING_USED_F_NO_NOTIFY) == 0;
}

void DriverSplit::release(uint16_t head) {
  const uint16_t count = heads_[head].count;
  heads_[head].count = 0;
  free_slots_ += count;
  --outstanding_;
  ++finished_;
  if (options_.is_in_order) return;  // next_ is the ring's order for ever
  uint16_t last = head;
  for (uint16_t i = 1; i < count; ++i) last = next_[last];
  next_[last] = first_free_;
  first_free_ = head;
}

// IN_ORDER: one used entry can stand for all up to it (virtio 1.2, 2.7.9).
bool DriverSplit::finish_batch(Used* used) {
  const uint16_t head = order_[finished_ % options_.size];
  const bool is_last = finished_ + 1 == batch_end_;
  *used = {heads_[head].cookie, is_last ? batch_written_ : 0};
  release(head);
  return true;
}

bool DriverSplit::next_used(Used* used) {
  if (finished_ < batch_end_) return finish_batch(used);
  if (fetched_ == guest_load_acquire(&used_->idx)) return false;
  const vring_used_elem& element = used_->ring[fetched_ % options_.size];
  const uint32_t id = guest_load(&element.id);
  const uint32_t written = guest_load(&element.len);
  if (id >= options_.size || heads_[id].count == 0) {
    note("the device used a head that it doesn't have:", id);
    ++fetched_;
    return false;
  }
  const auto head = static_cast<uint16_t>(id);
  const uint64_t sequence = heads_[head].sequence;
  if (options_.is_in_order) {
    fetched_ = static_cast<uint16_t>(fetched_ + (sequence + 1 - finished_));
    batch_end_ = sequence + 1;
    batch_written_ = written;
    return finish_batch(used);
  }
  if (sequence != finished_) note("the device used out of order the head", id);
  ++fetched_;
  *used = {heads_[head].cookie, written};
  release(head);
  return true;
}

bool DriverSplit::ask_for_calls(bool on) {
  if (options_.has_event_idx) {
    guest_store(used_event(),
                static_cast<uint16_t>(on ? fetched_ : fetched_ - 1));  // the latter is passed once in 65536
  } else {
    guest_store(&avail_->flags, static_cast<uint16_t>(on ? 0 : VRING_AVAIL_F_NO_INTERRUPT));
  }
  guest_full_fence();
  return guest_load(&used_->idx) != fetched_;
}

uint32_t DriverSplit::resume_base() const { return guest_load(&used_->idx); }

}  // namespace tapferry::front
