// SPDX-License-Identifier: MIT
//
// Which frames may become one GSO frame: the rules of the kernel's GRO (net/core/gro.c, include/net/gro.h, net/ipv4/af_inet.c,
// tcp_offload.c, udp_offload.c), a little stricter. What comes out of a segmenter again is byte for byte what went in; where
// a rule allows an exception, it says so.
//
// Pure: private bytes in, answers out. `frame` is an Ethernet frame without its vnet header everywhere here.
//
// One frame by itself (read_segment, MergeRun::has_right_checksum):
//   no GSO frame, no flags in the vnet header but NEEDS_CSUM; no VLAN tag; IPv4 without options and with its header checksum right,
//   or IPv6 without extension headers; no fragment; exactly as long as IP says (nothing padded, nothing missing); TCP or UDP
//   with data; TCP: ACK, perhaps PSH, and no other flag; UDP: a checksum. Marked NEEDS_CSUM: where and over what it is to be made is
//   what it should be; else the checksum is right, so that no corruption is repaired unseen.
// The next frame behind others (MergeRun::judge), all that besides:
//   its headers are the same byte for byte, but for IP's length, ID and checksum, TCP's sequence number, PSH and checksum, UDP's length
//   and checksum: so MACs, addresses, ports, TOS, TTL, flow label, DF, ack, window, TCP options are. The next sequence number;
//   the same length of data, or a shorter last one; nothing after a PSH. IPv4 IDs count up by one. With DF they may also be
//   all the same, as GRO allows: IDs of packets that can't be fragmented mean nothing (RFC 6864), and a segmenter that is
//   told nothing better counts them up (inet_gso_segment(); the vnet header has no word for SKB_GSO_TCP_FIXEDID).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tapferry {

inline constexpr unsigned kEthernetBytes = 14;
// Ethernet, IPv6, TCP with all the options it can have.
inline constexpr unsigned kMaxHeaderBytes = kEthernetBytes + 40 + 60;
// Where frames' headers stand, so many bytes can be read.
inline constexpr unsigned kHeaderRoom = 128;
// UDP_MAX_SEGMENTS of <linux/udp.h> before 6.9; more are EINVAL (include/linux/virtio_net.h).
inline constexpr unsigned kMaxUdpSegments = 64;
// Devices that segment by themselves take frames below GSO_LEGACY_MAX_SIZE, 65536 with the Ethernet header; and IP's length has
// 16 bits.
inline constexpr unsigned kMaxMergedBytes = 65535;

// <linux/virtio_net.h>, which no C++ compiler takes.
inline constexpr uint8_t kVnetNeedsChecksum = 1;
enum VnetGso : uint8_t { kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdp = 5 };

// Why a frame isn't merged; for tests and counters.
enum class Refusal : uint8_t {
  kNone,
  kVnetHeader,  // GSO already, or flags that we don't know
  kTooShort,    // ends within its headers, or these aren't in one piece
  kNotIp,
  kIpHeader,  // IPv4 options, a wrong version
  kIpLength,
  kIpChecksum,
  kFragment,
  kProtocol,  // neither TCP nor UDP
  kTcpFlags,
  kNoData,
  kUdpLength,
  kChecksumPlace,  // NEEDS_CSUM for another place than the header's
  kChecksum,
  kRunEnded,
  kOtherHeaders,
  kIpId,
  kSequence,
  kLonger,
  kTooMuch,  // bytes or segments
};

// What the rules need of a frame.
struct Segment {
  VnetGso gso = kGsoNone;        // what it can be merged as
  uint8_t transport_offset = 0;  // bytes from the frame's begin
  uint8_t header_bytes = 0;      // of all headers: where the data begins
  uint16_t data_bytes = 0;       // at least 1
  bool is_v4 = false;
  bool is_tcp = false;
  bool has_push = false;
  bool has_dont_fragment = false;
  bool needs_checksum = false;
  uint16_t ip_id = 0;
  uint32_t sequence = 0;
};

// Reads `vnet` (10 bytes) and the frame's first `available` bytes, as much as its headers take; `frame_bytes` is its whole length.
// `frame` has kHeaderRoom bytes, whatever the rest holds.
// `segment` is set for kNone only.
Refusal read_segment(const uint8_t* vnet, const uint8_t* frame, size_t available, size_t frame_bytes, Segment* segment);

// Frames on their way to become one: what is known of those taken so far.
class MergeRun {
 public:
  // `first_frame`: its headers, which stay where they are; `first`: what they say.
  MergeRun(const Segment& first, uint8_t* first_frame);

  // Whether the frame may follow; the arguments are read_segment()'s.
  Refusal judge(const uint8_t* vnet, const uint8_t* frame, size_t available, size_t frame_bytes,
                Segment* segment) const;
  // The transport checksum of the first frame, or of one that may follow; the data may be elsewhere than the headers. With NEEDS_CSUM:
  // that the field holds the sum of the pseudo header, from which the receiver makes it. Not so: the frame isn't ours to touch.
  bool has_right_checksum(const uint8_t* frame, const Segment& segment, const uint8_t* data) const;
  // It does follow.
  void take(const Segment& segment);

  unsigned frames() const { return frames_; }
  bool is_ended() const { return is_ended_; }
  // Of the merged frame, headers and all.
  unsigned frame_bytes() const { return first_.header_bytes + data_bytes_; }

  // Makes the first frame's headers those of the merged frame, and `vnet` (10 bytes) its vnet header.
  void finish(uint8_t* vnet) const;

 private:
  Refusal judge_ip4(const uint8_t* frame, size_t frame_bytes, Segment* segment) const;
  uint64_t pseudo_sum(unsigned transport_bytes) const;

  Segment first_;
  uint8_t* first_frame_;
  const uint8_t* mask_;  // which bits of the headers are the same in all
  uint64_t pseudo_without_length_;
  uint64_t ip4_common_sum_;  // of the IPv4 header, but for the words that differ
  unsigned frames_ = 1;
  unsigned data_bytes_;
  uint32_t next_sequence_;
  bool is_ended_;
  bool has_push_ = false;
  bool has_fixed_id_ = false;
};

}  // namespace tapferry
