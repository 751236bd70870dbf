// SPDX-License-Identifier: MIT
//
// The driver's side of a split virtqueue (virtio 1.2, 2.7).
#pragma once

#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>
#include <vector>

#include "tests/lib/front/driver_ring.h"

namespace tapferry::front {

class DriverSplit : public DriverRing {
 public:
  static Result<std::unique_ptr<DriverRing>> make(const RingOptions& options, GuestMemoryFile* memory);

  bool add(std::span<const Buffer> chain, bool is_indirect, uint64_t cookie) override;
  bool publish() override;
  bool next_used(Used* used) override;
  bool ask_for_calls(bool on) override;
  unsigned free_slots() const override { return free_slots_; }
  uint32_t initial_base() const override { return 0; }
  uint32_t resume_base() const override;

 private:
  struct Outstanding {
    uint64_t cookie = 0;
    uint64_t sequence = 0;
    uint16_t count = 0;  // descriptors; 0: the head is free
  };

  using DriverRing::DriverRing;
  uint16_t take_slot();
  void release(uint16_t head);
  bool finish_batch(Used* used);
  uint16_t* used_event() const;
  const uint16_t* avail_event() const;

  vring_desc* desc_ = nullptr;
  vring_avail* avail_ = nullptr;
  vring_used* used_ = nullptr;
  vring_desc* tables_ = nullptr;  // indirect, options_.indirect_entries for each head
  uint64_t tables_gpa_ = 0;

  std::vector<Outstanding> heads_;
  std::vector<uint16_t>
      next_;  // of a chain, or of the free list; what the guest's memory says could be overwritten by tests
  std::vector<uint16_t> order_;  // heads in the order in which they were added; by sequence
  unsigned free_slots_ = 0;
  uint16_t first_free_ = 0;
  uint16_t added_ = 0, published_ = 0, fetched_ = 0;
  uint64_t sequence_ = 0, finished_ = 0;
  uint64_t batch_end_ = 0;  // IN_ORDER: what is before it is used
  uint32_t batch_written_ = 0;
};

}  // namespace tapferry::front
