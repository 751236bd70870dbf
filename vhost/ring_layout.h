// SPDX-License-Identifier: MIT
//
// What both kinds of ring share in memory: the shape of a descriptor, and how a ring is found. <linux/virtio_ring.h> has the flags.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "vhost/memory.h"

// The functions that this leaves out aren't C++.
#ifndef VIRTIO_RING_NO_LEGACY
#define VIRTIO_RING_NO_LEGACY
#endif
#include <linux/virtio_ring.h>

namespace tapferry {

// A descriptor of either kind as it lies in memory; all but the address is one word, so that it is read, or written, at once.
struct RingDescriptor {
  uint64_t address = 0;
  uint64_t rest = 0;  // split: length | flags << 32 | next << 48; packed: length | id << 32 | flags << 48
};
static_assert(sizeof(RingDescriptor) == sizeof(vring_desc) && sizeof(RingDescriptor) == sizeof(vring_packed_desc));

// A part of a ring, which must be in one region and aligned (virtio 1.2, 2.7 and 2.8.10.1).
struct RingPlace {
  const char* name;
  uint64_t uva;
  uint64_t bytes;
  uint64_t alignment;
};

inline Result<uint8_t*> find_ring(const RingPlace& place, const GuestMemory& memory) {
  uint8_t* const host = memory.at_uva(place.uva, place.bytes);
  if (host == nullptr) return Error("find", place.name, "it isn't wholly in guest memory");
  // The front-end's address may be aligned in a region that isn't.
  if (place.uva % place.alignment != 0 || reinterpret_cast<uintptr_t>(host) % place.alignment != 0) {
    return Error("find", place.name, "its address isn't a multiple of " + std::to_string(place.alignment));
  }
  return host;
}

}  // namespace tapferry
