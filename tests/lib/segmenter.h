// SPDX-License-Identifier: MIT
//
// What a receiver without any offload gets of a frame with its vnet header: GSO frames cut up and checksums filled in, as the
// kernel does it (tcp_gso_segment(), __udp_gso_segment(), inet_gso_segment(), skb_checksum_help()). Written slowly and apart
// from what it checks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace tapferry::test {

using Bytes = std::vector<uint8_t>;

inline unsigned get16(std::span<const uint8_t> bytes, size_t at) { return bytes[at] * 256u + bytes[at + 1]; }
inline void put16(std::span<uint8_t> bytes, size_t at, unsigned value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}
inline uint32_t get32(std::span<const uint8_t> bytes, size_t at) {
  return get16(bytes, at) << 16 | get16(bytes, at + 2);
}
inline void put32(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value & 0xffff);
}

// RFC 1071, a byte at a time; folded.
inline unsigned slow_sum(std::span<const uint8_t> bytes, uint64_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<unsigned>(sum);
}

// The vnet header, which is in the machine's byte order (little-endian).
struct VnetFields {
  explicit VnetFields(std::span<const uint8_t> bytes)
      : flags(bytes[0]),
        gso_type(bytes[1]),
        header_bytes(bytes[2] + bytes[3] * 256u),
        gso_size(bytes[4] + bytes[5] * 256u),
        checksum_start(bytes[6] + bytes[7] * 256u),
        checksum_offset(bytes[8] + bytes[9] * 256u) {}
  bool needs_checksum() const { return (flags & 1) != 0; }

  unsigned flags;
  unsigned gso_type;
  unsigned header_bytes;
  unsigned gso_size;
  unsigned checksum_start;
  unsigned checksum_offset;
};

// skb_checksum_help(): the field holds the pseudo header's sum and is part of what is summed.
inline void complete(const VnetFields& vnet, Bytes* frame) {
  const size_t field = size_t{vnet.checksum_start} + vnet.checksum_offset;
  if (!vnet.needs_checksum() || field + 2 > frame->size()) return;
  const unsigned checksum = 0xffff - slow_sum(std::span(*frame).subspan(vnet.checksum_start));
  put16(*frame, field, checksum == 0 ? 0xffff : checksum);
}

inline void fill_in_ip4(Bytes* frame, unsigned id) {
  put16(*frame, 16, static_cast<unsigned>(frame->size() - 14));
  put16(*frame, 18, id);
  put16(*frame, 24, 0);
  put16(*frame, 24, 0xffff - slow_sum(std::span(*frame).subspan(14, 20)));
}

// One segment of a GSO frame: its headers, then `data`.
inline Bytes segment_of(const Bytes& whole, const VnetFields& vnet, std::span<const uint8_t> data, size_t data_at,
                        unsigned index, bool is_last) {
  const bool is_v4 = get16(whole, 12) == 0x0800;
  const bool is_tcp = vnet.gso_type != 5;
  const size_t transport = vnet.checksum_start;
  const size_t field = transport + vnet.checksum_offset;
  Bytes frame(whole.begin(), whole.begin() + static_cast<long>(data_at));
  frame.insert(frame.end(), data.begin(), data.end());
  const auto old_length = static_cast<unsigned>(whole.size() - transport);
  const auto new_length = static_cast<unsigned>(frame.size() - transport);
  // The pseudo header's sum as it was left there, with another length.
  const unsigned pseudo = slow_sum({}, uint64_t{get16(whole, field)} + (0xffff - old_length) + new_length);
  if (is_tcp) {
    put32(frame, transport + 4, get32(whole, transport + 4) + index * vnet.gso_size);
    if (!is_last) frame[transport + 13] &= 0xff - 0x09;  // PSH, FIN
  } else {
    put16(frame, transport + 4, new_length);
  }
  put16(frame, field, pseudo);
  unsigned checksum = 0xffff - slow_sum(std::span(frame).subspan(transport));
  if (!is_tcp && checksum == 0) checksum = 0xffff;
  put16(frame, field, checksum);
  if (is_v4) {
    fill_in_ip4(&frame, get16(whole, 18) + index);
  } else {
    put16(frame, 18, new_length);
  }
  return frame;
}

// `bytes`: vnet header of `vnet_bytes` and a frame.
inline std::vector<Bytes> receive(std::span<const uint8_t> bytes, size_t vnet_bytes = 12) {
  const VnetFields vnet(bytes);
  Bytes whole(bytes.begin() + static_cast<long>(vnet_bytes), bytes.end());
  if (vnet.gso_type == 0) {
    complete(vnet, &whole);
    return {whole};
  }
  // virtio_net_hdr_to_skb() would refuse what isn't so.
  const bool is_tcp = vnet.gso_type == 1 || vnet.gso_type == 4;
  if (!vnet.needs_checksum() || vnet.gso_size == 0 || (!is_tcp && vnet.gso_type != 5)) abort();
  if (vnet.checksum_offset != (is_tcp ? 16u : 6u) || vnet.checksum_start + (is_tcp ? 20u : 8u) > whole.size()) abort();
  const size_t data_at = vnet.checksum_start + (is_tcp ? (whole[vnet.checksum_start + 12] >> 4) * 4u : 8u);
  if (vnet.header_bytes != data_at || whole.size() - data_at <= vnet.gso_size) abort();
  const std::span<const uint8_t> data = std::span(whole).subspan(data_at);
  if (!is_tcp && data.size() > size_t{64} * vnet.gso_size) abort();
  std::vector<Bytes> frames;
  for (size_t at = 0; at < data.size(); at += vnet.gso_size) {
    const size_t length = std::min<size_t>(vnet.gso_size, data.size() - at);
    frames.push_back(segment_of(whole, vnet, data.subspan(at, length), data_at, static_cast<unsigned>(frames.size()),
                                at + length == data.size()));
  }
  return frames;
}

}  // namespace tapferry::test
