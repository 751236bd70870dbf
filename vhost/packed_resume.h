// SPDX-License-Identifier: MIT
//
// Where a packed ring goes on after a front-end or a back-end has vanished and come back.
//
// A front-end that stops a ring is told its base (GET_VRING_BASE), and gives it back. One whose back-end vanished was told nothing:
// QEMU then gives the base that the ring had when it was last started. Taken at its word the ring would begin anew in the middle
// of a guest's queue. A guest that has reset its device meanwhile, or a front-end that resets its rings (DPDK's virtio_user), gives
// that same base rightly. What tells the two apart is the ring: a driver clears it when it sets it up, so one that no device has
// used shows no descriptor with USED set, and those that are available are its first ones. A ring in use looks like that only
// where its wrap counters and index are the initial ones, and then both answers are the same.
//
//   the record says: running at this address and size, begun at this base     ring fresh    -> as given
//                                                                             ring used     -> where the record is
//   no such record, the initial base                                          ring fresh    -> as given
//                                                                             ring used     -> refused
//   no such record, another base: the front-end was told it, or it comes from another host   -> as given
//
// Refused, too, is a base at which a used descriptor stands: what is there is the driver's to take, so the base is an old one.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "vhost/ring_progress.h"

namespace tapferry {

// Virtio 1.2, 2.8.13.
struct PackedSlot {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};

// What is known of a ring besides its memory, in memory that outlives the process (vhost/state_file.h).
struct RingRecord {
  uint64_t desc_uva = 0;
  uint32_t size = 0;
  uint32_t begin = 0;  // the base with which it was started
  RingProgress progress;
  uint32_t running = 0;  // kRunning while it is; anything else: not
  uint32_t unused = 0;

  static constexpr uint32_t kRunning = 0x52756e21;
};

// The lower half of a base says it all, since nothing is in flight over a stop; some front-ends leave the upper one at zero.
constexpr uint32_t packed_base(uint32_t number) { return (number & 0xffff) | number << 16; }
inline constexpr uint32_t kInitialPackedBase = 0x80008000;  // index 0, wrap counters 1

// No device has used it since its driver set it up.
bool is_fresh(std::span<const PackedSlot> ring);

enum class PackedStart {
  kAsGiven,
  kResume,  // where the record's progress is
};

// For a front-end that starts the ring at `desc_uva` with the base `given` (as packed_base() made it). The error's code is ESTALE
// where the ring is refused for what it was, and not for what the front-end asks.
Result<PackedStart> packed_start(uint32_t given, uint64_t desc_uva, std::span<const PackedSlot> ring,
                                 const RingRecord& record);

}  // namespace tapferry
