// SPDX-License-Identifier: MIT
//
// The packed virtqueue (virtio 1.2, 2.8), from the device's side: one ring of descriptors that both sides write, and an event
// suppression structure for each direction.
//
// A place in the ring is its index and a wrap counter. Used descriptors are first collected (vhost/ring_progress.h) and written by
// publish(), the first of them last, so that the driver sees all of a batch by one store, and finds untouched what it made
// available until then. With IN_ORDER, neighbours that only were read share one used descriptor, with the id of the last (2.8.6).
#pragma once

#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "base/result.h"
#include "vhost/descriptor_walk.h"
#include "vhost/dirty_log.h"
#include "vhost/memory.h"
#include "vhost/ring_progress.h"
#include "vhost/virtqueue.h"

namespace tapferry {

class PackedRing {
 public:
  // As in Virtqueue.
  Status start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log);
  Status relocate(const GuestMemory* memory, DirtyLog* log);
  Take take(Chain* chain, iovec* pieces, unsigned room, RingFault* fault);
  void give_back(const Chain& chain);
  unsigned size() const { return size_; }
  void push_used(const Chain& chain, uint32_t written);
  bool publish();
  bool arm_kicks();
  void disarm_kicks();
  // Counts what is pushed and not published as used.
  uint32_t base() const;

 private:
  // Index and wrap counter; steps of at most the ring's size.
  struct Place {
    uint16_t index = 0;
    bool wrap = true;

    bool operator==(const Place&) const = default;
    uint32_t encoded() const { return index | uint32_t{wrap} << 15; }
    static Place decoded(uint32_t bits) { return {static_cast<uint16_t>(bits & 0x7fff), (bits & 0x8000) != 0}; }
    void advance(unsigned steps, unsigned size);
    void retreat(unsigned steps, unsigned size);
  };

  Status resume();
  void write_out();
  void write_used(unsigned index, uint64_t word);
  bool wants_notification(Place before);
  void store_event(uint32_t value);
  static uint32_t base_of(Place place) { return place.encoded() | place.encoded() << 16; }

  std::span<RingDescriptor> ring_;
  const uint32_t* driver_event_ = nullptr;
  uint32_t* device_event_ = nullptr;
  RingProgress* progress_ = nullptr;
  DirtyLog* log_ = nullptr;  // null: nothing is logged
  unsigned size_ = 0;
  Place next_avail_;        // the next descriptor to take
  Place next_used_;         // where the next batch begins
  Place checked_;           // up to where it was checked whether the driver wants to be notified
  unsigned in_flight_ = 0;  // descriptors taken, not pushed
  unsigned collected_ = 0;  // elements pushed, not written out
  bool may_join_ = false;   // the latest element may take another chain in
  bool is_in_order_ = false;
  bool has_event_idx_ = false;
  bool is_first_publish_ = true;
  bool is_event_known_ = false;  // event_ is what device_event_ holds
  uint32_t event_ = 0;
  DescriptorWalk walk_;
  uint64_t ring_gpa_ = 0;
  uint64_t event_gpa_ = 0;
  VirtqueueConfig config_;
  RingProgress own_progress_;  // when nobody asks
};

}  // namespace tapferry
