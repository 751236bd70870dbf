// SPDX-License-Identifier: MIT
//
// From a descriptor to the pieces of guest memory that its chain names, or to the rule that the chain breaks. Pure: it reads
// each descriptor once, looks up the memory table, and changes nothing but what it is given to fill.
//
// What ends a hostile chain (virtio 1.2, 2.7.5, 2.7.7, 2.8.5 and 2.8.8): it has no more descriptors than its table, so loops end;
// no descriptor is empty; INDIRECT comes once, as the last; an indirect table is copied to private memory before it is looked at;
// what the device writes comes behind what it reads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "vhost/memory.h"
#include "vhost/ring_layout.h"
#include "vhost/virtqueue.h"

namespace tapferry {

class DescriptorWalk {
 public:
  DescriptorWalk() = default;
  // `memory` must outlive it, and its table stay as it is. `is_send`: WRITE isn't looked at in a packed ring's indirect tables.
  // DPDK's driver has it at the header that it sends, and by chance at other parts (virtqueue_enqueue_xmit_packed()).
  DescriptorWalk(const GuestMemory* memory, bool has_indirect, bool is_send = false)
      : memory_(memory), has_indirect_(has_indirect), is_send_(is_send) {}

  // The chain that begins at `head`, which is inside the table. `chain` is filled if it is kTaken, `fault` if it is kBroken.
  Take split(std::span<const RingDescriptor> table, unsigned head, Chain* chain, iovec* pieces, unsigned room,
             RingFault* fault);

  // The chain that begins at ring[first], all but whose address has been read as `first_rest`; of at most `limit` descriptors.
  Take packed(std::span<const RingDescriptor> ring, unsigned first, uint64_t first_rest, unsigned limit, Chain* chain,
              iovec* pieces, unsigned room, RingFault* fault);

 private:
  Take add(Chain* chain, uint64_t gpa, uint32_t length, bool is_writable, unsigned room, RingFault* fault);
  Take add_elsewhere(Chain* chain, uint64_t gpa, uint32_t length, unsigned room, RingFault* fault);
  Take load_indirect(uint64_t gpa, uint32_t length, uint16_t flags, RingFault* fault);
  Take add_split_indirect(Chain* chain, unsigned room, RingFault* fault);
  Take add_packed_indirect(Chain* chain, unsigned room, RingFault* fault);

  const GuestMemory* memory_ = nullptr;
  GuestMemory::Window window_;  // where the latest buffer was found
  bool has_indirect_ = false;
  bool is_send_ = false;
  std::unique_ptr<RingDescriptor[]>
      indirect_;  // copy of a table; room for kMaxChainPieces is made when the first one comes
  unsigned indirect_count_ = 0;
};

}  // namespace tapferry
