// SPDX-License-Identifier: MIT
//
// The driver's side of a packed virtqueue (virtio 1.2, 2.8).
#pragma once

#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>
#include <vector>

#include "tests/lib/front/driver_ring.h"

namespace tapferry::front {

class DriverPacked : public DriverRing {
 public:
  static Result<std::unique_ptr<DriverRing>> make(const RingOptions& options, GuestMemoryFile* memory);

  bool add(std::span<const Buffer> chain, bool is_indirect, uint64_t cookie) override;
  bool publish() override;
  bool next_used(Used* used) override;
  bool ask_for_calls(bool on) override;
  unsigned free_slots() const override { return free_slots_; }
  uint32_t initial_base() const override { return 0x80008000; }  // both indexes 0, both wrap counters 1
  uint32_t resume_base() const override { return initial_base(); }

 private:
  struct Outstanding {
    uint64_t cookie = 0;
    uint64_t sequence = 0;
    uint16_t count = 0;  // descriptors; 0: the id is free
  };
  // A place in the ring and the wrap counter there.
  struct Position {
    uint16_t index = 0;
    bool wrap = true;
    void advance(unsigned count, unsigned size) {
      index = static_cast<uint16_t>(index + count);
      if (index < size) return;
      index = static_cast<uint16_t>(index - size);
      wrap = !wrap;
    }
  };

  using DriverRing::DriverRing;
  bool finish(uint16_t id, uint32_t written, Used* used);

  vring_packed_desc* ring_ = nullptr;
  vring_packed_desc_event* driver_ = nullptr;
  vring_packed_desc_event* device_ = nullptr;
  vring_packed_desc* tables_ = nullptr;
  uint64_t tables_gpa_ = 0;

  std::vector<Outstanding> ids_;
  std::vector<uint16_t> free_ids_;
  std::vector<uint16_t> order_;  // ids in the order in which they were added; by sequence
  unsigned free_slots_ = 0;
  Position avail_, used_;
  uint16_t held_index_ = 0;  // the first descriptor since publish(): its flags are stored last, and show all the others
  uint16_t held_flags_ = 0;
  unsigned unpublished_ = 0;  // descriptors
  uint64_t sequence_ = 0, finished_ = 0;
  uint64_t batch_end_ = 0;  // IN_ORDER: what is before it is used
  uint32_t batch_written_ = 0;
};

}  // namespace tapferry::front
