// SPDX-License-Identifier: MIT
//
// How far a packed ring has been used, kept in memory that outlives this process (vhost/state_file.h), since nobody else knows:
// a packed ring has no index in guest memory, and a front-end whose back-end has vanished can't ask it any more.
//
// A batch is shown to the driver by one store, of its first used descriptor; the others are written before that, in the place
// of what the driver made available. So that a kill at any moment loses nothing, the batch is written here first:
//
//   elements, then base and count      the batch's descriptors in the ring, the first one last      then the new base, count 0
//
// Whoever starts the ring again and finds a count looks at the descriptor at base: if it is still available there, the batch
// wasn't shown, and is written again; else it was. Only the order of one thread's own stores counts (a killed process's stores
// are all made), so relaxed ones with compiler fences do.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace tapferry {

// One used descriptor, in memory of fixed layout.
struct UsedElement {
  uint16_t id = 0;
  uint16_t slots = 0;  // descriptors from here to the next used one
  uint32_t length = 0;
};

struct RingProgress {
  static constexpr unsigned kMaxElements = 48;

  uint64_t state = 0;  // base (in the form of VirtqueueConfig::base, nothing taken that isn't used) | count << 32
  std::array<UsedElement, kMaxElements> elements;

  uint32_t base() const { return static_cast<uint32_t>(__atomic_load_n(&state, __ATOMIC_RELAXED)); }
  // Of the elements: a batch that is being shown.
  uint32_t count() const { return static_cast<uint32_t>(__atomic_load_n(&state, __ATOMIC_RELAXED) >> 32); }
  // Both by one store; elements and ring are written before or after it, as the program says.
  void store(uint32_t base, uint32_t count) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    __atomic_store_n(&state, base | uint64_t{count} << 32, __ATOMIC_RELAXED);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
};
static_assert(sizeof(RingProgress) == 392, "128 of them, and what belongs to them, fit into 64 KiB");

}  // namespace tapferry
