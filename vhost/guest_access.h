// SPDX-License-Identifier: MIT
//
// Reading and writing a field of guest memory, once. The guest writes to the same bytes at any moment, so each of these is
// one access of the field's width that the compiler neither repeats nor splits; what is acted on is the value returned.
// Rings are little-endian (virtio 1.2, 2.4.1), as are all machines that this is built for.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace tapferry {

static_assert(std::endian::native == std::endian::little, "rings are read as they stand");

template <typename T>
T guest_load(const T* field) {
  return __atomic_load_n(field, __ATOMIC_RELAXED);
}
#ifdef __SANITIZE_THREAD__
// A guest may give to one queue what it got from another, which the thread sanitizer doesn't see: it takes all that goes to guests
// and comes from them as in order.
inline std::atomic<int> guest_order = 0;
#endif

// What the guest wrote before it stored the value is seen after.
template <typename T>
T guest_load_acquire(const T* field) {
  const T value = __atomic_load_n(field, __ATOMIC_ACQUIRE);
#ifdef __SANITIZE_THREAD__
  guest_order.fetch_add(0, std::memory_order_acquire);
#endif
  return value;
}
template <typename T>
void guest_store(T* field, T value) {
  __atomic_store_n(field, value, __ATOMIC_RELAXED);
}
// What was written before is seen by the guest once it sees the value.
template <typename T>
void guest_store_release(T* field, T value) {
#ifdef __SANITIZE_THREAD__
  guest_order.fetch_add(0, std::memory_order_release);
#endif
  __atomic_store_n(field, value, __ATOMIC_RELEASE);
}
// Between a store of ours and a load of the guest's, when the guest has the same pair the other way round.
inline void guest_full_fence() {
#ifdef __SANITIZE_THREAD__
  // g++'s thread sanitizer has no fences; an atomic change of anything is one on the hardware.
  int own = 0;
  __atomic_fetch_or(&own, 0, __ATOMIC_SEQ_CST);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace tapferry
