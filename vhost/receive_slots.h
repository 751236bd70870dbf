// SPDX-License-Identifier: MIT
//
// Private memory for what doesn't fit the guest's buffers: one slot for each read of a burst, large enough for any frame.
//
// A read into a head (a buffer of the guest's) of S bytes goes on in its slot at offset S. So a frame that is moved out of its head is
// whole in the slot once its first S bytes have been copied to offset 0, and its tail is never copied twice.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "vhost/engine.h"

namespace tapferry {

// The longest IP packet with vnet header, Ethernet header and two VLAN tags.
inline constexpr uint32_t kMaxFrameBytes = 12 + 14 + 8 + 65535;

class ReceiveSlots {
 public:
  static constexpr uint32_t kSlotBytes = 17 * 4096;
  static_assert(kSlotBytes > kMaxFrameBytes, "a frame that fills it can't be a whole one");

  // Address space; memory is used once a slot is written to.
  static Result<ReceiveSlots> make();
  ReceiveSlots(ReceiveSlots&& other) noexcept;
  ReceiveSlots& operator=(ReceiveSlots&&) = delete;
  ~ReceiveSlots();

  uint8_t* at(unsigned slot) const { return base_ + size_t{slot} * kSlotBytes; }
  // Gives the memory back to the kernel; what was in it is gone.
  void release() const;

 private:
  explicit ReceiveSlots(uint8_t* base) : base_(base) {}
  uint8_t* base_;
};

}  // namespace tapferry
