// SPDX-License-Identifier: MIT
//
// The split virtqueue (virtio 1.2, 2.7), from the device's side: descriptor table, available ring, used ring.
//
// Chains are completed in the order in which they were taken, so that "taken and not pushed" is always the youngest part of what
// was available, and the used index says all that a successor has to know. IN_ORDER changes nothing here: each chain gets
// an element of its own, since drivers read the length of each.
#pragma once

#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "base/result.h"
#include "vhost/descriptor_walk.h"
#include "vhost/dirty_log.h"
#include "vhost/memory.h"
#include "vhost/virtqueue.h"

namespace tapferry {

class SplitRing {
 public:
  // As in Virtqueue.
  Status start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log);
  Status relocate(const GuestMemory* memory, DirtyLog* log);
  Take take(Chain* chain, iovec* pieces, unsigned room, RingFault* fault);
  void give_back();
  unsigned size() const { return size_; }
  void push_used(const Chain& chain, uint32_t written);
  bool publish();
  bool arm_kicks();
  void disarm_kicks();
  uint32_t base() const { return static_cast<uint16_t>(next_avail_ - in_flight_); }

 private:
  struct AvailRing {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[];  // and used_event behind the last
  };
  struct UsedElement {
    uint32_t id;
    uint32_t length;
  };
  struct UsedRing {
    uint16_t flags;
    uint16_t idx;
    UsedElement ring[];  // and avail_event behind the last
  };

  uint16_t* avail_event() const { return reinterpret_cast<uint16_t*>(&used_->ring[size_]); }
  Take refresh(RingFault* fault);
  void log_used(const void* field, uint64_t length);

  std::span<const RingDescriptor> table_;
  const AvailRing* avail_ = nullptr;
  UsedRing* used_ = nullptr;
  DirtyLog* log_ = nullptr;  // null: nothing is logged
  uint16_t mask_ = 0;
  uint16_t next_avail_ = 0;  // the next entry to take
  uint16_t seen_avail_ = 0;  // the driver's index as it was read last
  uint16_t in_flight_ = 0;   // taken, not pushed
  uint16_t next_used_ = 0;   // the next element to push
  uint16_t published_ = 0;   // the used index as it was stored last
  bool has_event_idx_ = false;
  bool is_first_publish_ = true;
  enum class Kicks : uint8_t { kUnknown, kArmed, kDisarmed } kicks_ = Kicks::kUnknown;
  DescriptorWalk walk_;
  unsigned size_ = 0;
  VirtqueueConfig config_;
};

}  // namespace tapferry
