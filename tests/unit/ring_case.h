// SPDX-License-Identifier: MIT
//
// A virtqueue between a driver (tests/lib/front) and the device's side under test, in a guest of two neighbouring regions and
// one that stands alone.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "tests/lib/front/driver_ring.h"
#include "vhost/dirty_log.h"
#include "vhost/memory.h"
#include "vhost/ring_layout.h"
#include "vhost/virtqueue.h"

namespace tapferry {

// The regions: rings and tables are allocated in the first; the second begins where it ends; behind the second nothing is mapped.
inline constexpr uint64_t kLowGpa = 0x10000;
inline constexpr uint64_t kLowBytes = 0x80000;
inline constexpr uint64_t kMiddleGpa = kLowGpa + kLowBytes;
inline constexpr uint64_t kMiddleBytes = 0x10000;
inline constexpr uint64_t kGapGpa = kMiddleGpa + kMiddleBytes;
inline constexpr uint64_t kHighGpa = 0x1000000;
inline constexpr uint64_t kHighBytes = 0x10000;

struct RingCaseOptions {
  front::RingOptions driver;
  bool has_indirect = true;
};

class RingCase {
 public:
  explicit RingCase(const RingCaseOptions& options) : options_(options) {
    guest = front::GuestMemoryFile::make().value();
    for (const auto& [gpa, bytes] :
         {std::pair{kLowGpa, kLowBytes}, {kMiddleGpa, kMiddleBytes}, {kHighGpa, kHighBytes}}) {
      EXPECT_TRUE(guest->add(gpa, bytes).is_ok());
    }
    share_memory();
    driver = front::make_driver_ring(options.driver, guest.get()).value();
    const Status started = queue.start(config(), &memory, nullptr);
    EXPECT_TRUE(started.is_ok()) << started.error().line();
  }

  // The memory table as a front-end would give it.
  void share_memory() {
    memory.clear();
    for (const front::GuestRegion& region : guest->regions()) {
      const RegionSpec spec = {region.gpa, region.size, guest->uva_of(region.gpa), region.offset};
      const Status added = memory.add(spec, Fd(fcntl(region.file.get(), F_DUPFD_CLOEXEC, 0)));
      EXPECT_TRUE(added.is_ok()) << added.error().line();
    }
  }

  VirtqueueConfig config() const {
    const front::RingAddresses& at = driver->addresses();
    VirtqueueConfig config;
    config.size = options_.driver.size;
    config.desc_uva = guest->uva_of(at.desc);
    config.avail_uva = guest->uva_of(at.avail);
    config.used_uva = guest->uva_of(at.used);
    config.is_packed = options_.driver.is_packed;
    config.has_event_idx = options_.driver.has_event_idx;
    config.is_in_order = options_.driver.is_in_order;
    config.has_indirect = options_.has_indirect;
    config.base = driver->initial_base();
    config.used_gpa = at.used;
    return config;
  }

  // A driver's chain of its own bytes, made available; indirect or not. Which buffer it is, `cookie` says.
  bool offer(const std::vector<front::Buffer>& chain, bool is_indirect = false) {
    return driver->add(chain, is_indirect, cookie++);
  }
  // One readable, or writable, buffer of 64 bytes in the region that stands alone.
  bool offer_one(bool is_writable = false) { return offer({{kHighGpa + 64 * (cookie % 1024), 64, is_writable}}); }

  Take take(unsigned room = kMaxChainPieces) { return queue.take(&chain, pieces.data(), room); }

  // The next cookie that the driver gets back, -1 if none.
  int64_t fetch() {
    front::Used used;
    if (!driver->next_used(&used)) return -1;
    written = used.written;
    return static_cast<int64_t>(used.cookie);
  }

  // Descriptor `index` of the ring, as it lies there.
  RingDescriptor* descriptor(unsigned index) {
    return reinterpret_cast<RingDescriptor*>(guest->at(driver->addresses().desc)) + index;
  }
  uint16_t* field16(uint64_t gpa) { return reinterpret_cast<uint16_t*>(guest->at(gpa)); }
  // Where the address `gpa` is mapped on the device's side.
  void* host(uint64_t gpa) const { return memory.at_gpa(gpa, 1); }

  std::unique_ptr<front::GuestMemoryFile> guest;
  GuestMemory memory;
  std::unique_ptr<front::DriverRing> driver;
  Virtqueue queue;
  Chain chain;
  std::vector<iovec> pieces = std::vector<iovec>(kMaxChainPieces);
  uint64_t cookie = 0;
  uint32_t written = 0;

 private:
  RingCaseOptions options_;
};

// Descriptors as tests write them.
inline RingDescriptor split_descriptor(uint64_t address, uint32_t length, unsigned flags = 0, unsigned next = 0) {
  return {address, length | uint64_t{flags} << 32 | uint64_t{next} << 48};
}
inline RingDescriptor packed_descriptor(uint64_t address, uint32_t length, unsigned flags = 0, unsigned id = 0) {
  return {address, length | uint64_t{id} << 32 | uint64_t{flags} << 48};
}

}  // namespace tapferry
