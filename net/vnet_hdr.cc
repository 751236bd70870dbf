// SPDX-License-Identifier: MIT
#include "net/vnet_hdr.h"

#include <cstring>

namespace tapferry {
namespace {

// <linux/virtio_net.h>, which no C++ compiler takes: it names a member `class`.
constexpr uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM

}  // namespace

bool VnetHdr::needs_checksum() const { return (flags & kNeedsChecksum) != 0; }

VnetHdr read_vnet_hdr(std::span<const uint8_t> bytes) {
  VnetHdr header;
  header.flags = bytes[0];
  header.gso_type = bytes[1];
  const auto half = [&](size_t at) {
    uint16_t value;
    memcpy(&value, &bytes[at], sizeof value);
    return value;
  };
  header.hdr_len = half(2);
  header.gso_size = half(4);
  header.csum_start = half(6);
  header.csum_offset = half(8);
  return header;
}

Status complete_checksum(const VnetHdr& header, std::span<uint8_t> frame) {
  if (!header.needs_checksum()) return {};
  const size_t start = header.csum_start;
  const size_t field = start + header.csum_offset;
  if (field + 2 > frame.size()) {
    return Error("complete the checksum of", "a frame of " + std::to_string(frame.size()) + " bytes",
                 "its vnet header puts the checksum at " + std::to_string(field));
  }
  // RFC 1071. The field itself holds the pseudo header's sum and counts like any other.
  uint64_t sum = 0;
  for (size_t i = start; i < frame.size(); ++i) {
    sum += (i - start) % 2 == 0 ? static_cast<uint64_t>(frame[i]) << 8 : frame[i];
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  auto checksum = static_cast<uint16_t>(~sum);
  // For UDP zero means that there is none (RFC 768); for the others both are right.
  if (checksum == 0) checksum = 0xffff;
  frame[field] = static_cast<uint8_t>(checksum >> 8);
  frame[field + 1] = static_cast<uint8_t>(checksum);
  return {};
}

}  // namespace tapferry
