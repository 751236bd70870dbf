// SPDX-License-Identifier: MIT
//
// The handler runs in whichever thread touched the missing page, at any instruction of it: it uses atomics, mmap(2) and
// sigaction(2) only. A slot's base is stored last and cleared first, so a slot that is found is whole.
#include "vhost/memory_guard.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <sys/mman.h>

namespace tapferry {
namespace {

struct GuardedSlot {
  std::atomic<uintptr_t> base = 0;  // 0: free; 1: being filled
  std::atomic<size_t> bytes = 0;
};
constexpr uintptr_t kBeingFilled = 1;

std::array<GuardedSlot, kMaxGuarded> g_slots;
std::atomic<bool> g_is_lost = false;
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// Zero pages in the place of the mapping that holds `address`; false if none of ours does.
bool replace_mapping_at(uintptr_t address) {
  for (const GuardedSlot& slot : g_slots) {
    const uintptr_t base = slot.base.load(std::memory_order_acquire);
    if (base <= kBeingFilled) continue;
    const size_t bytes = slot.bytes.load(std::memory_order_relaxed);
    if (address - base >= bytes) continue;
    g_is_lost.store(true, std::memory_order_release);
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    // An address that the kernel gave as a number (si_addr), not a pointer of ours.
    auto* const where = reinterpret_cast<void*>(base);  // NOLINT(performance-no-int-to-ptr)
    return mmap(where, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0) != MAP_FAILED;
  }
  return false;
}

void on_sigbus(int signal_number, siginfo_t* info, void*) {
  const int saved_errno = errno;
  // si_code > 0: from the kernel, for a memory access; else somebody's kill(2).
  const bool is_access = info->si_code > 0;
  if (is_access && replace_mapping_at(reinterpret_cast<uintptr_t>(info->si_addr))) {
    errno = saved_errno;
    return;
  }
  struct sigaction plain = {};
  plain.sa_handler = SIG_DFL;
  sigaction(signal_number, &plain, nullptr);
  // A memory access is made again on return and ends the process then.
  if (!is_access) raise(signal_number);
  errno = saved_errno;
}

}  // namespace

Status install_memory_guard() {
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGBUS, &action, nullptr) != 0) return Error::from_errno("handle", "SIGBUS", errno);
  return {};
}

Status guard_mapping(void* base, size_t bytes) {
  for (GuardedSlot& slot : g_slots) {
    uintptr_t expected = 0;
    if (!slot.base.compare_exchange_strong(expected, kBeingFilled)) continue;
    slot.bytes.store(bytes, std::memory_order_relaxed);
    slot.base.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    return {};
  }
  return Error("guard", "a mapping", "too many at once");
}

void unguard_mapping(void* base) {
  for (GuardedSlot& slot : g_slots) {
    uintptr_t expected = reinterpret_cast<uintptr_t>(base);
    if (slot.base.compare_exchange_strong(expected, 0)) return;
  }
}

bool is_memory_lost() { return g_is_lost.load(std::memory_order_acquire); }

void reset_lost_memory() { g_is_lost.store(false, std::memory_order_release); }

}  // namespace tapferry
