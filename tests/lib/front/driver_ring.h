// SPDX-License-Identifier: MIT
//
// The driver's side of a virtqueue, as a guest's kernel has it: split (driver_split.h) or packed (driver_packed.h). It also
// watches the device: a buffer that comes back twice, or never went, or in another order than it went, is noted.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "tests/lib/front/guest_memory_file.h"

namespace tapferry::front {

struct Buffer {
  uint64_t gpa = 0;
  uint32_t bytes = 0;
  bool is_writable = false;
};

struct RingOptions {
  unsigned size = 256;
  bool is_packed = false;
  bool has_event_idx = true;
  bool is_in_order = false;
  unsigned indirect_entries = 32;  // of the table that each chain can have
};

struct RingAddresses {
  uint64_t desc = 0, avail = 0, used = 0;  // gpa; packed: ring, driver's and device's event suppression
};

struct Used {
  uint64_t cookie = 0;
  uint32_t written = 0;  // 0 for those that the device skipped in a batch (IN_ORDER)
};

class DriverRing {
 public:
  virtual ~DriverRing() = default;

  // A chain, not shown to the device yet; in an indirect table if asked. False: no room.
  virtual bool add(std::span<const Buffer> chain, bool is_indirect, uint64_t cookie) = 0;
  // Shows what was added. True: the device wants a kick.
  virtual bool publish() = 0;
  virtual bool next_used(Used* used) = 0;
  // Whether the device is to signal what it uses from now on. True: there is something to fetch already.
  virtual bool ask_for_calls(bool on) = 0;

  virtual unsigned free_slots() const = 0;
  // For SET_VRING_BASE: of a ring that nobody has used, and after a lost connection, as QEMU does it: split: where the device
  // had come to; packed: as at first, since it doesn't know.
  virtual uint32_t initial_base() const = 0;
  virtual uint32_t resume_base() const = 0;

  const RingAddresses& addresses() const { return addresses_; }
  unsigned size() const { return options_.size; }
  uint64_t outstanding() const { return outstanding_; }
  // What the device did wrong, first of all; empty if nothing.
  const std::string& fault() const { return fault_; }

 protected:
  explicit DriverRing(const RingOptions& options) : options_(options) {}
  void note(const char* what, uint64_t number) {
    if (fault_.empty()) fault_ = std::string(what) + " " + std::to_string(number);
  }

  RingOptions options_;
  RingAddresses addresses_;
  uint64_t outstanding_ = 0;
  std::string fault_;
};

// In memory that is allocated for it and cleared.
Result<std::unique_ptr<DriverRing>> make_driver_ring(const RingOptions& options, GuestMemoryFile* memory);

// virtio 1.2, 2.7.10.1: whether the step from `old_index` to `new_index` passes the index that the other side wants to hear of.
inline bool passes_event(uint16_t event, uint16_t new_index, uint16_t old_index) {
  return static_cast<uint16_t>(new_index - event - 1) < static_cast<uint16_t>(new_index - old_index);
}

}  // namespace tapferry::front
