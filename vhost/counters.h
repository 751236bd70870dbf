// SPDX-License-Identifier: MIT
//
// What each queue did, counted by its thread and read by the main one at any time: single writer, so that a plain load and a
// plain store of an atomic do.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tapferry {

class Counter {
 public:
  void add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

// Why a frame was not delivered; the order is that of drop_words().
enum class Drop : uint8_t {
  kTooShort,    // from the guest: no whole virtio-net header and Ethernet header
  kTooLarge,    // towards the guest: larger than its buffers, and it doesn't merge buffers
  kRefused,     // from the guest: the tap refused it (EINVAL: a header that makes no sense)
  kLinkDown,    // from the guest: the tap is down (EIO)
  kDisabled,    // from the guest: on a queue that the driver has disabled
  kMemoryGone,  // towards the guest: its memory was truncated (EFAULT)
  kOther,
  kCount,
};

// Index i counts bursts of 2^i .. 2^(i+1)-1 frames: 1, 2-3, 4-7, ... 64.
inline constexpr size_t kBurstBuckets = 7;

struct QueueCounters {
  Counter frames;
  Counter bytes;  // without vnet headers
  std::array<Counter, static_cast<size_t>(Drop::kCount)> drops;
  std::array<Counter, kBurstBuckets> bursts;
  Counter merged_frames;  // from the guest: that went into a GSO frame of ours
  Counter merged_into;    // and how many of those there were
  Counter moved_frames;   // towards the guest: copied on to other buffers, since a larger one came before
  Counter notifications;  // to the guest

  void count_drop(Drop why) { drops[static_cast<size_t>(why)].add(1); }
  void count_burst(unsigned frame_count) { bursts[static_cast<size_t>(31 - __builtin_clz(frame_count))].add(1); }
};

struct PairCounters {
  QueueCounters rx;  // towards the guest
  QueueCounters tx;  // from the guest
  Counter wakeups;   // returns from sleep
  Counter system_calls;
};

}  // namespace tapferry
