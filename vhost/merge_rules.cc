// SPDX-License-Identifier: MIT
#include "vhost/merge_rules.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>

#include "vhost/checksum.h"

namespace tapferry {
namespace {

// Offsets in the frame. IP's are those of its header plus Ethernet's.
constexpr unsigned kTypeAt = 12;
constexpr unsigned kIpAt = kEthernetBytes;
constexpr unsigned kIp4LengthAt = kIpAt + 2;
constexpr unsigned kIp4IdAt = kIpAt + 4;
constexpr unsigned kIp4FragmentAt = kIpAt + 6;
constexpr unsigned kIp4ProtocolAt = kIpAt + 9;
constexpr unsigned kIp4ChecksumAt = kIpAt + 10;
constexpr unsigned kIp4AddressesAt = kIpAt + 12;
constexpr unsigned kIp6LengthAt = kIpAt + 4;
constexpr unsigned kIp6NextAt = kIpAt + 6;
constexpr unsigned kIp6AddressesAt = kIpAt + 8;
constexpr unsigned kIp4Bytes = 20;
constexpr unsigned kIp6Bytes = 40;

// Offsets in the transport header.
constexpr unsigned kTcpSequenceAt = 4;
constexpr unsigned kTcpOffsetAt = 12;
constexpr unsigned kTcpFlagsAt = 13;
constexpr unsigned kTcpChecksumAt = 16;
constexpr unsigned kTcpBytes = 20;
constexpr unsigned kUdpLengthAt = 4;
constexpr unsigned kUdpChecksumAt = 6;
constexpr unsigned kUdpBytes = 8;

constexpr uint8_t kPush = 0x08;
constexpr uint8_t kAck = 0x10;
constexpr uint16_t kDontFragment = 0x4000;

// Which bits of the headers must be the same in all frames of a run; those that needn't are judged one by one.
using HeaderMask = std::array<uint8_t, kHeaderRoom>;

constexpr HeaderMask make_mask(bool is_v4, bool is_tcp) {
  HeaderMask mask = {};
  mask.fill(0xff);
  const auto leave_out = [&](unsigned at, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) mask[at + i] = 0;
  };
  if (is_v4) {
    leave_out(kIp4LengthAt, 2);
    leave_out(kIp4IdAt, 2);
    leave_out(kIp4ChecksumAt, 2);
  } else {
    leave_out(kIp6LengthAt, 2);
  }
  const unsigned transport = kIpAt + (is_v4 ? kIp4Bytes : kIp6Bytes);
  if (is_tcp) {
    leave_out(transport + kTcpSequenceAt, 4);
    leave_out(transport + kTcpChecksumAt, 2);
    mask[transport + kTcpFlagsAt] = 0xff - kPush;
  } else {
    leave_out(transport + kUdpLengthAt, 2);
    leave_out(transport + kUdpChecksumAt, 2);
  }
  return mask;
}

constexpr HeaderMask kTcp4Mask = make_mask(true, true);
constexpr HeaderMask kTcp6Mask = make_mask(false, true);
constexpr HeaderMask kUdp4Mask = make_mask(true, false);
constexpr HeaderMask kUdp6Mask = make_mask(false, false);

const uint8_t* mask_for(const Segment& segment) {
  if (segment.is_tcp) return segment.is_v4 ? kTcp4Mask.data() : kTcp6Mask.data();
  return segment.is_v4 ? kUdp4Mask.data() : kUdp6Mask.data();
}

using Lanes = uint64_t __attribute__((vector_size(16)));

Lanes load_lanes(const uint8_t* bytes) {
  Lanes lanes;
  memcpy(&lanes, bytes, sizeof lanes);
  return lanes;
}

// Lanes that begin where those did which were stored there: a load out of two stores waits until both are in the cache. The last ones
// reach up to 15 bytes behind the headers, and leave out what is there.
bool are_same(const uint8_t* one, const uint8_t* other, const uint8_t* mask, unsigned bytes) {
  static constexpr std::array<uint8_t, 2 * sizeof(Lanes)> kOnesAndZeros = {
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const unsigned rest = bytes % sizeof(Lanes);
  const unsigned last = bytes - rest;
  Lanes difference = (load_lanes(one + last) ^ load_lanes(other + last)) & load_lanes(mask + last) &
                     load_lanes(kOnesAndZeros.data() + sizeof(Lanes) - rest);
  for (unsigned at = 0; at < last; at += sizeof(Lanes)) {
    difference |= (load_lanes(one + at) ^ load_lanes(other + at)) & load_lanes(mask + at);
  }
  return (difference[0] | difference[1]) == 0;
}

uint16_t load16(const uint8_t* bytes) {
  uint16_t value;
  memcpy(&value, bytes, sizeof value);
  return ntohs(value);
}
uint32_t load32(const uint8_t* bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return ntohl(value);
}
// In the byte order of memory, as sums are and as a tap has the vnet header.
uint16_t load16_native(const uint8_t* bytes) {
  uint16_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}
void store16_native(uint8_t* bytes, uint16_t value) { memcpy(bytes, &value, sizeof value); }
void store16(uint8_t* bytes, unsigned value) { store16_native(bytes, htons(static_cast<uint16_t>(value))); }

// The pseudo header's sum but for the length (RFC 9293, 3.1; RFC 8200, 8.1).
uint64_t pseudo_sum_without_length(const uint8_t* frame, const Segment& segment) {
  const uint64_t sum = htons(segment.is_tcp ? IPPROTO_TCP : IPPROTO_UDP);
  return segment.is_v4 ? add_checksum(sum, frame + kIp4AddressesAt, 8) : add_checksum(sum, frame + kIp6AddressesAt, 32);
}

unsigned checksum_offset(const Segment& segment) { return segment.is_tcp ? kTcpChecksumAt : kUdpChecksumAt; }

// Of the words of the IPv4 header in which the frames of a run differ, and of the others.
uint64_t ip4_varying_sum(const uint8_t* frame) {
  return uint64_t{load16_native(frame + kIp4LengthAt)} + load16_native(frame + kIp4IdAt) +
         load16_native(frame + kIp4ChecksumAt);
}
uint64_t ip4_common_sum(const uint8_t* frame) {
  const uint64_t sum = add_checksum(add_checksum(0, frame + kIpAt, 2), frame + kIp4FragmentAt, 4);
  return add_checksum(sum, frame + kIp4AddressesAt, 8);
}
uint64_t ip4_header_sum(const uint8_t* frame) { return ip4_common_sum(frame) + ip4_varying_sum(frame); }

// 0xffff would do as well as 0 (RFC 1624), but a segmenter writes 0.
bool is_right_ip4_checksum(const uint8_t* frame, uint64_t header_sum) {
  return fold_checksum(header_sum) == 0xffff && load16_native(frame + kIp4ChecksumAt) != 0xffff;
}

Refusal read_vnet(const uint8_t* vnet) {
  return vnet[1] != kGsoNone || (vnet[0] & ~kVnetNeedsChecksum) != 0 ? Refusal::kVnetHeader : Refusal::kNone;
}

// What a checksum that is left to the receiver is made over, and where it goes.
Refusal read_checksum_place(const uint8_t* vnet, Segment* segment) {
  segment->needs_checksum = vnet[0] != 0;
  const bool is_right =
      load16_native(vnet + 6) == segment->transport_offset && load16_native(vnet + 8) == checksum_offset(*segment);
  return segment->needs_checksum && !is_right ? Refusal::kChecksumPlace : Refusal::kNone;
}

Refusal read_ip4(const uint8_t* frame, size_t frame_bytes, Segment* segment, uint8_t* protocol) {
  if (frame[kIpAt] != 0x45) return Refusal::kIpHeader;
  if (load16(frame + kIp4LengthAt) != frame_bytes - kEthernetBytes) return Refusal::kIpLength;
  const uint16_t fragment = load16(frame + kIp4FragmentAt);
  if ((fragment & ~kDontFragment) != 0) return Refusal::kFragment;
  if (!is_right_ip4_checksum(frame, ip4_header_sum(frame))) return Refusal::kIpChecksum;
  segment->is_v4 = true;
  segment->has_dont_fragment = fragment != 0;
  segment->ip_id = load16(frame + kIp4IdAt);
  segment->transport_offset = kEthernetBytes + kIp4Bytes;
  *protocol = frame[kIp4ProtocolAt];
  return Refusal::kNone;
}

Refusal read_ip6(const uint8_t* frame, size_t available, size_t frame_bytes, Segment* segment, uint8_t* protocol) {
  if (available < kEthernetBytes + kIp6Bytes + kUdpBytes) return Refusal::kTooShort;
  if (frame[kIpAt] >> 4 != 6) return Refusal::kIpHeader;
  if (load16(frame + kIp6LengthAt) != frame_bytes - kEthernetBytes - kIp6Bytes) return Refusal::kIpLength;
  segment->transport_offset = kEthernetBytes + kIp6Bytes;
  *protocol = frame[kIp6NextAt];
  return Refusal::kNone;
}

Refusal read_tcp(const uint8_t* tcp, size_t available, Segment* segment) {
  if (available < kTcpBytes) return Refusal::kTooShort;
  const unsigned header_bytes = (tcp[kTcpOffsetAt] >> 4) * 4u;
  if (header_bytes < kTcpBytes || header_bytes > available) return Refusal::kTooShort;
  // The low half of that byte holds flags that aren't (RFC 9293) or may be (accurate ECN): none of them.
  if ((tcp[kTcpOffsetAt] & 0x0f) != 0 || (tcp[kTcpFlagsAt] & ~kPush) != kAck) return Refusal::kTcpFlags;
  segment->is_tcp = true;
  segment->has_push = (tcp[kTcpFlagsAt] & kPush) != 0;
  segment->sequence = load32(tcp + kTcpSequenceAt);
  segment->gso = segment->is_v4 ? kGsoTcp4 : kGsoTcp6;
  segment->header_bytes = static_cast<uint8_t>(segment->transport_offset + header_bytes);
  return Refusal::kNone;
}

Refusal read_udp(const uint8_t* udp, size_t transport_bytes, Segment* segment) {
  if (load16(udp + kUdpLengthAt) != transport_bytes) return Refusal::kUdpLength;
  // Nobody could tell whether such a datagram is whole, and GSO would give it a checksum (RFC 768).
  if (load16_native(udp + kUdpChecksumAt) == 0) return Refusal::kChecksum;
  segment->gso = kGsoUdp;
  segment->header_bytes = static_cast<uint8_t>(segment->transport_offset + kUdpBytes);
  return Refusal::kNone;
}

}  // namespace

Refusal read_segment(const uint8_t* vnet, const uint8_t* frame, size_t available, size_t frame_bytes, Segment* result) {
  Refusal refusal = read_vnet(vnet);
  if (refusal != Refusal::kNone) return refusal;
  if (available < kEthernetBytes + kIp4Bytes + kUdpBytes) return Refusal::kTooShort;
  if (frame_bytes > kMaxMergedBytes) return Refusal::kTooMuch;
  Segment segment;
  uint8_t protocol = 0;
  const uint16_t type = load16(frame + kTypeAt);
  refusal = Refusal::kNotIp;
  if (type == 0x0800) refusal = read_ip4(frame, frame_bytes, &segment, &protocol);
  if (type == 0x86dd) refusal = read_ip6(frame, available, frame_bytes, &segment, &protocol);
  if (refusal != Refusal::kNone) return refusal;

  const unsigned transport_at = segment.transport_offset;
  refusal = Refusal::kProtocol;
  if (protocol == IPPROTO_TCP) refusal = read_tcp(frame + transport_at, available - transport_at, &segment);
  if (protocol == IPPROTO_UDP) refusal = read_udp(frame + transport_at, frame_bytes - transport_at, &segment);
  if (refusal != Refusal::kNone) return refusal;

  if (frame_bytes <= segment.header_bytes) return Refusal::kNoData;
  segment.data_bytes = static_cast<uint16_t>(frame_bytes - segment.header_bytes);
  refusal = read_checksum_place(vnet, &segment);
  if (refusal == Refusal::kNone) *result = segment;
  return refusal;
}

MergeRun::MergeRun(const Segment& first, uint8_t* first_frame)
    : first_(first),
      first_frame_(first_frame),
      mask_(mask_for(first)),
      pseudo_without_length_(pseudo_sum_without_length(first_frame, first)),
      ip4_common_sum_(first.is_v4 ? ip4_common_sum(first_frame) : 0),
      data_bytes_(first.data_bytes),
      next_sequence_(first.sequence + first.data_bytes),
      is_ended_(first.has_push) {}

uint64_t MergeRun::pseudo_sum(unsigned transport_bytes) const {
  return pseudo_without_length_ + htons(static_cast<uint16_t>(transport_bytes));
}

bool MergeRun::has_right_checksum(const uint8_t* frame, const Segment& segment, const uint8_t* data) const {
  const unsigned header_bytes = first_.header_bytes - first_.transport_offset;
  const uint8_t* transport = frame + first_.transport_offset;
  const uint64_t pseudo = pseudo_sum(header_bytes + segment.data_bytes);
  const uint16_t field = load16_native(transport + checksum_offset(first_));
  if (segment.needs_checksum) return field == fold_checksum(pseudo);
  // As with IPv4's: what is as good as right, but not what a segmenter writes. (UDP's 0 has been refused.)
  if (first_.is_tcp && field == 0xffff) return false;
  return fold_checksum(add_checksum(add_checksum(pseudo, transport, header_bytes), data, segment.data_bytes)) == 0xffff;
}

Refusal MergeRun::judge_ip4(const uint8_t* frame, size_t frame_bytes, Segment* segment) const {
  if (load16(frame + kIp4LengthAt) != frame_bytes - kEthernetBytes) return Refusal::kIpLength;
  if (!is_right_ip4_checksum(frame, ip4_common_sum_ + ip4_varying_sum(frame))) return Refusal::kIpChecksum;
  segment->ip_id = load16(frame + kIp4IdAt);
  const auto step = static_cast<uint16_t>(segment->ip_id - first_.ip_id);
  const bool counts = !has_fixed_id_ && step == frames_;
  const bool stays = (has_fixed_id_ || frames_ == 1) && step == 0 && first_.has_dont_fragment;
  return counts || stays ? Refusal::kNone : Refusal::kIpId;
}

Refusal MergeRun::judge(const uint8_t* vnet, const uint8_t* frame, size_t available, size_t frame_bytes,
                        Segment* segment) const {
  if (is_ended_) return Refusal::kRunEnded;
  Refusal refusal = read_vnet(vnet);
  if (refusal != Refusal::kNone) return refusal;
  const unsigned header_bytes = first_.header_bytes;
  if (available < header_bytes) return Refusal::kTooShort;
  if (!are_same(first_frame_, frame, mask_, header_bytes)) return Refusal::kOtherHeaders;
  if (frame_bytes == header_bytes) return Refusal::kNoData;
  if (frame_bytes - header_bytes > first_.data_bytes) return Refusal::kLonger;
  if (data_bytes_ + frame_bytes > kMaxMergedBytes) return Refusal::kTooMuch;
  *segment = first_;
  segment->data_bytes = static_cast<uint16_t>(frame_bytes - header_bytes);

  const uint8_t* transport = frame + first_.transport_offset;
  const size_t transport_bytes = frame_bytes - first_.transport_offset;
  if (first_.is_v4) {
    refusal = judge_ip4(frame, frame_bytes, segment);
    if (refusal != Refusal::kNone) return refusal;
  } else if (load16(frame + kIp6LengthAt) != transport_bytes) {
    return Refusal::kIpLength;
  }
  if (first_.is_tcp) {
    if (load32(transport + kTcpSequenceAt) != next_sequence_) return Refusal::kSequence;
    segment->has_push = (transport[kTcpFlagsAt] & kPush) != 0;
  } else {
    if (frames_ == kMaxUdpSegments) return Refusal::kTooMuch;
    refusal = read_udp(transport, transport_bytes, segment);
    if (refusal != Refusal::kNone) return refusal;
  }
  return read_checksum_place(vnet, segment);
}

void MergeRun::take(const Segment& segment) {
  if (frames_ == 1) has_fixed_id_ = first_.is_v4 && segment.ip_id == first_.ip_id;
  ++frames_;
  data_bytes_ += segment.data_bytes;
  next_sequence_ += segment.data_bytes;
  has_push_ = segment.has_push;
  is_ended_ = segment.has_push || segment.data_bytes < first_.data_bytes;
}

void MergeRun::finish(uint8_t* vnet) const {
  uint8_t* transport = first_frame_ + first_.transport_offset;
  const unsigned transport_bytes = frame_bytes() - first_.transport_offset;
  if (first_.is_v4) {
    store16(first_frame_ + kIp4LengthAt, kIp4Bytes + transport_bytes);
    store16_native(first_frame_ + kIp4ChecksumAt, 0);
    store16_native(first_frame_ + kIp4ChecksumAt, finish_checksum(ip4_common_sum_ + ip4_varying_sum(first_frame_)));
  } else {
    store16(first_frame_ + kIp6LengthAt, transport_bytes);
  }
  // A segmenter takes PSH off all segments but the last (tcp_gso_segment()), and reckons each one's length out of the
  // pseudo header's sum, which must have the whole's.
  if (first_.is_tcp && has_push_) transport[kTcpFlagsAt] |= kPush;
  if (!first_.is_tcp) store16(transport + kUdpLengthAt, transport_bytes);
  store16_native(transport + checksum_offset(first_), fold_checksum(pseudo_sum(transport_bytes)));

  vnet[0] = kVnetNeedsChecksum;
  vnet[1] = first_.gso;
  store16_native(vnet + 2, first_.header_bytes);
  store16_native(vnet + 4, first_.data_bytes);
  store16_native(vnet + 6, first_.transport_offset);
  store16_native(vnet + 8, static_cast<uint16_t>(checksum_offset(first_)));
}

}  // namespace tapferry
