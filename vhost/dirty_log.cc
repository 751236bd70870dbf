// SPDX-License-Identifier: MIT
#include "vhost/dirty_log.h"

#include <algorithm>
#include <atomic>

namespace tapferry {

Status DirtyLog::set(uint64_t size, uint64_t offset, Fd fd) {
  clear();
  mapping_ = TRY(SharedMapping::map(fd, offset, size, "the dirty log"));
  bits_ = mapping_.data();
  page_count_ = size * 8;
  return {};
}

void DirtyLog::clear() {
  mapping_.reset();
  bits_ = nullptr;
  page_count_ = 0;
}

// The bit is set after the page was written: the front-end takes a bit away before it reads the page, so a bit that was
// there already may be gone by the time the write is seen. An atomic OR, which is also a full fence, on x86, is always done.
void DirtyLog::mark(uint64_t gpa, uint64_t length) {
  if (length == 0 || bits_ == nullptr) return;
  const uint64_t last_byte = gpa + (length - 1) < gpa ? UINT64_MAX : gpa + (length - 1);
  const uint64_t first = gpa / kPageBytes;
  const uint64_t last = last_byte / kPageBytes;
  const uint64_t end = std::min(last + 1, page_count_);
  for (uint64_t page = first; page < end; page++) {
    __atomic_fetch_or(&bits_[page / 8], static_cast<uint8_t>(1U << (page % 8)), __ATOMIC_SEQ_CST);
  }
  const uint64_t outside = last + 1 - std::max(first, end);
  if (outside != 0) std::atomic_ref<uint64_t>(pages_outside_).fetch_add(outside, std::memory_order_relaxed);
}

uint64_t DirtyLog::pages_outside() const { return __atomic_load_n(&pages_outside_, __ATOMIC_RELAXED); }

}  // namespace tapferry
