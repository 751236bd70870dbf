// SPDX-License-Identifier: MIT
#include "vhost/packed_resume.h"

#include <cerrno>
#include <ctime>
#include <string>

#include "vhost/guest_access.h"

namespace tapferry {
namespace {

constexpr uint16_t kAvail = 1u << 7;  // VIRTQ_DESC_F_AVAIL
constexpr uint16_t kUsed = 1u << 15;  // VIRTQ_DESC_F_USED

uint32_t index_of(uint32_t base) { return base & 0x7fff; }
bool wrap_of(uint32_t base) { return (base & 0x8000) != 0; }

bool is_used_at(uint32_t base, std::span<const PackedSlot> ring) {
  const uint16_t flags = guest_load_acquire(&ring[index_of(base)].flags);
  return ((flags & kAvail) != 0) == wrap_of(base) && ((flags & kUsed) != 0) == wrap_of(base);
}

bool is_about(const RingRecord& record, uint32_t given, uint64_t desc_uva, std::span<const PackedSlot> ring) {
  return record.running == RingRecord::kRunning && record.desc_uva == desc_uva && record.size == ring.size() &&
         record.begin == given;
}

enum class Look { kFresh, kHasGap, kUsed };

Look look_at(std::span<const PackedSlot> ring) {
  Look look = Look::kFresh;
  bool has_end = false;
  for (const PackedSlot& slot : ring) {
    const uint16_t flags = guest_load_acquire(&slot.flags);
    const bool is_available = (flags & kAvail) != 0;
    if ((flags & kUsed) != 0) return Look::kUsed;
    if (is_available && has_end) look = Look::kHasGap;
    has_end |= !is_available;
  }
  return look;
}

}  // namespace

bool is_fresh(std::span<const PackedSlot> ring) {
  Look look = look_at(ring);
  // The driver stores a chain's first flags last: it may be at that right now.
  for (int i = 0; look == Look::kHasGap && i < 3; ++i) {
    const timespec pause = {0, 1'000'000};
    nanosleep(&pause, nullptr);
    look = look_at(ring);
  }
  return look == Look::kFresh;
}

Result<PackedStart> packed_start(uint32_t given, uint64_t desc_uva, std::span<const PackedSlot> ring,
                                 const RingRecord& record) {
  const auto refused = [&](std::string_view reason) {
    return Error::from_errno("start", "a packed ring", ESTALE)
        .with_reason(reason)
        .with_hint("the guest must reset its network device");
  };
  if (index_of(given) >= ring.size()) {
    return Error("start", "a packed ring of " + std::to_string(ring.size()), "its base is outside of it");
  }
  if (is_fresh(ring)) return PackedStart::kAsGiven;
  if (is_about(record, given, desc_uva, ring)) return PackedStart::kResume;
  if (given == kInitialPackedBase) {
    return refused("it was in use, and nobody knows how far: the back-end before has left no state (--state-fd)");
  }
  if (is_used_at(given, ring)) return refused("it was used beyond the base that the front-end gives");
  return PackedStart::kAsGiven;
}

}  // namespace tapferry
