// SPDX-License-Identifier: MIT
//
// The frame that tells switches where a guest's MAC address is now, for guests that don't announce themselves after a migration
// (SEND_RARP).
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "net/mac.h"

namespace tapferry {

// The least that Ethernet carries, without its checksum; QEMU's own announcements are as long.
inline constexpr size_t kRarpFrameBytes = 60;

// A broadcast of RFC 903's "request reverse" in which the guest asks for its own address. Nobody has to answer.
std::array<uint8_t, kRarpFrameBytes> rarp_frame(const Mac& mac);

// The MAC address in the first six bytes of SEND_RARP's payload. Refused: what no interface can have as its own.
Result<Mac> rarp_mac(uint64_t payload);

}  // namespace tapferry
