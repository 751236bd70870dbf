// SPDX-License-Identifier: MIT
#include "vhost/receive_slots.h"

#include <cerrno>
#include <sys/mman.h>
#include <utility>

namespace tapferry {
namespace {
constexpr size_t kAllBytes = size_t{kMaxBurst} * ReceiveSlots::kSlotBytes;
}

Result<ReceiveSlots> ReceiveSlots::make() {
  void* base = mmap(nullptr, kAllBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return Error::from_errno("map", "memory for large frames", errno);
  // A huge page would come for one frame that touches it.
  (void)madvise(base, kAllBytes, MADV_NOHUGEPAGE);
  return ReceiveSlots(static_cast<uint8_t*>(base));
}

ReceiveSlots::ReceiveSlots(ReceiveSlots&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}

ReceiveSlots::~ReceiveSlots() {
  if (base_ != nullptr) munmap(base_, kAllBytes);
}

void ReceiveSlots::release() const { (void)madvise(base_, kAllBytes, MADV_DONTNEED); }

}  // namespace tapferry
