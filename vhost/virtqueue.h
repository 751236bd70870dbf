// SPDX-License-Identifier: MIT
//
// One virtqueue, split or packed (virtio 1.2, 2.7 and 2.8), from the device's side.
//
//   take() ...            chains that the driver made available, in its order
//   give_back()           the latest taken, untaken
//   push_used() ...       chains that are done, in the order in which they were taken
//   publish()             shows the driver all that was pushed, at once
//   arm_kicks()           before sleeping
//
// Every field of guest memory is read once (vhost/guest_access.h); what take() hands out points into mapped guest memory, with
// lengths that the guest can't change any more. A ring that breaks a rule is broken from then on: take() says so until the
// front-end sets the queue up again, and fault() names the rule.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <sys/uio.h>

#include "base/result.h"
#include "vhost/dirty_log.h"
#include "vhost/memory.h"
#include "vhost/ring_progress.h"

namespace tapferry {

inline constexpr unsigned kMaxQueueSize = 32768;   // virtio 1.2, 2.7: a power of two for split rings
inline constexpr unsigned kMaxChainPieces = 1024;  // UIO_MAXIOV: what one writev(2) takes

struct VirtqueueConfig {
  unsigned size = 0;       // entries
  uint64_t desc_uva = 0;   // split: descriptor table; packed: descriptor ring
  uint64_t avail_uva = 0;  // split: available ring; packed: driver event suppression
  uint64_t used_uva = 0;   // split: used ring; packed: device event suppression
  bool is_packed = false;
  bool has_event_idx = false;
  bool has_indirect = false;
  bool is_in_order = false;
  bool is_send = false;  // the device only reads from it
  // As SET_VRING_BASE gives it: an index; packed: avail | avail_wrap << 15 | used << 16 | used_wrap << 31. Of a packed one only
  // the lower half counts: what was taken and not used is taken again, so both are the same, and DPDK's front-end leaves the
  // upper one out.
  uint32_t base = 0;
  bool logs_used = false;  // VHOST_VRING_F_LOG
  // log_guest_addr: where a split ring's used ring is logged. A packed ring's own place is looked up.
  uint64_t used_gpa = 0;
  // Packed: kept up to date at each publish(), and must outlive the queue's use. Null: nobody asks.
  RingProgress* progress = nullptr;
  // Packed: start() goes on where *progress says and not at `base`.
  bool resumes = false;
};

// A chain that was taken. The pieces are in the caller's array, readable ones first.
struct Chain {
  iovec* pieces = nullptr;
  uint16_t readable_pieces = 0;
  uint16_t writable_pieces = 0;
  uint32_t readable_bytes = 0;
  uint32_t writable_bytes = 0;
  uint16_t id = 0;     // what the driver knows it by
  uint16_t slots = 1;  // descriptors of the ring that it takes; an indirect one is one
};

enum class Take {
  kTaken,
  kEmpty,  // nothing is available
  kNoRoom,  // the next chain needs more pieces than there is room for; it stays available. Not with room for kMaxChainPieces
  kBroken,  // fault() says why
};

// Which rule the driver broke, with the numbers that the line needs.
struct RingFault {
  enum class Rule : uint8_t {
    kNone,
    kAvailJump,        // the available index is further ahead than the ring is long
    kHeadOutOfRange,   // an available entry names no descriptor
    kNextOutOfRange,   // a descriptor's next names none
    kChainTooLong,     // more descriptors than the ring (a loop), or than a packed ring has available
    kTooManyPieces,    // more than kMaxChainPieces
    kNotInMemory,      // a buffer isn't wholly in guest memory
    kEmptyDescriptor,  // a descriptor of no length
    kIndirectRefused,  // an indirect table without the feature
    kIndirectNested,   // INDIRECT inside an indirect table
    kIndirectAndNext,  // INDIRECT and NEXT in one descriptor
    kIndirectSize,     // not a multiple of 16, zero, or longer than allowed
    kIndirectNotInMemory,
    kReadableAfterWritable,
    kTooManyBytes,       // a chain of 4 GiB or more
    kWriteOnlyExpected,  // the user's own: a receive chain with readable parts
    kReadOnlyExpected,   // the user's own: a send chain with writable parts
  };
  Rule rule = Rule::kNone;
  unsigned descriptor = 0;  // index in the ring, or in the indirect table
  bool is_in_indirect = false;
  uint64_t address = 0;
  uint64_t value = 0;  // the length or the number that is wrong
};

// "queue 1, descriptor 12: 4096 bytes at 0xfffff000 aren't in guest memory". `queue` is the virtqueue's index.
std::string describe(const RingFault& fault, unsigned queue);

class SplitRing;
class PackedRing;

class Virtqueue {
 public:
  Virtqueue();
  ~Virtqueue();
  Virtqueue(Virtqueue&&) noexcept;
  Virtqueue& operator=(Virtqueue&&) noexcept;

  // Finds the rings in memory. Refused: a size that is 0, too large or (split) no power of two; misaligned addresses; rings that are
  // not wholly mapped. `memory` and `log` must outlive the queue's use; `log` is null while nothing is to be logged.
  Status start(const VirtqueueConfig& config, const GuestMemory* memory, DirtyLog* log);
  // After the memory table or the log has changed: the same state, found again. On error the queue is stopped.
  Status relocate(const GuestMemory* memory, DirtyLog* log);
  // What GET_VRING_BASE answers, in the form of VirtqueueConfig::base. What was pushed is published first; what was taken and not
  // pushed counts as never taken.
  uint32_t stop();
  bool is_started() const;
  // Entries; 0 while it isn't started.
  unsigned size() const;

  Take take(Chain* chain, iovec* pieces, unsigned room);
  void give_back(const Chain& chain);

  // `written`: bytes that were written to the chain's writable pieces; their pages must be logged by then.
  void push_used(const Chain& chain, uint32_t written);
  // True when the driver wants to be notified of what is published now (EVENT_IDX, or its flag).
  bool publish();

  // Asks for a kick when more becomes available. True: more is there already (and kicks stay asked for).
  bool arm_kicks();
  // Tells the driver that kicks aren't needed, while we look by ourselves. Cheap; a hint.
  void disarm_kicks();

  const RingFault& fault() const { return fault_; }
  void set_fault(RingFault fault) { fault_ = fault; }
  bool is_broken() const { return fault_.rule != RingFault::Rule::kNone; }

  // What a reconnection needs to resume a packed ring: the present base, with everything pushed and published.
  uint32_t base() const;

 private:
  RingFault fault_;
  uint32_t last_base_ = 0;            // of the ring that was stopped last
  std::unique_ptr<SplitRing> split_;  // one of the two while started
  std::unique_ptr<PackedRing> packed_;
};

}  // namespace tapferry
