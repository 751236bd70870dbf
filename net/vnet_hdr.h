// SPDX-License-Identifier: MIT
//
// The virtio-net header that stands before each frame of a tap with IFF_VNET_HDR (struct virtio_net_hdr in
// <linux/virtio_net.h>; virtio 1.2, 5.1.6). A tap has it in the host's byte order unless told otherwise (TUNSETVNETLE).
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace tapferry {

inline constexpr size_t kMinVnetHdrSize = 10;

struct VnetHdr {
  uint8_t flags = 0;     // VIRTIO_NET_HDR_F_*
  uint8_t gso_type = 0;  // VIRTIO_NET_HDR_GSO_*
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;   // bytes from the frame's begin
  uint16_t csum_offset = 0;  // bytes from csum_start

  bool needs_checksum() const;
};

// `bytes` holds kMinVnetHdrSize or more; what is behind is num_buffers, which a tap leaves untouched.
VnetHdr read_vnet_hdr(std::span<const uint8_t> bytes);

// Does what the header left to the receiver: the checksum from csum_start to the frame's end, folded into what the
// sender put there, the sum of the pseudo header. An error when that is not inside the frame.
Status complete_checksum(const VnetHdr& header, std::span<uint8_t> frame);

}  // namespace tapferry
