// SPDX-License-Identifier: MIT
#include "tests/lib/front/load_frames.h"

#include <cstring>

#include "tests/lib/flow_frames.h"

namespace tapferry::front {
namespace {

constexpr unsigned kHeader = 12, kEthernet = 14, kIpv4 = 20, kTcp = 20, kUdp = 8;
constexpr unsigned kUnknownEtherType = 0x88b5;

std::vector<uint8_t> raw_frame(unsigned frame_bytes) {
  std::vector<uint8_t> bytes(kHeader + frame_bytes);
  const uint8_t macs[] = {0x52, 0x54, 0, 0, 0, 9, 0x52, 0x54, 0, 0, 0, 1};
  memcpy(bytes.data() + kHeader, macs, sizeof macs);
  test::put16(std::span(bytes).subspan(kHeader), 12, kUnknownEtherType);
  return bytes;
}

}  // namespace

Result<LoadFrames> LoadFrames::make(const LoadOptions& options) {
  LoadFrames frames;
  if (options.content == "raw") {
    if (options.frame_bytes < kEthernet) return Error("make", "frames", "an Ethernet header has 14 bytes");
    frames.flows_.push_back(raw_frame(options.frame_bytes));
    return frames;
  }
  const bool is_udp = options.content == "udp";
  const unsigned headers = kEthernet + kIpv4 + (is_udp ? kUdp : kTcp);
  if (options.frame_bytes < headers)
    return Error("make", "frames", "the headers alone have " + std::to_string(headers));
  frames.has_sequence_ = !is_udp;
  frames.has_full_checksums_ = options.has_full_checksums && options.gso_size == 0;
  frames.transport_at_ = kHeader + kEthernet + kIpv4;
  frames.data_bytes_ = options.frame_bytes - headers;
  for (unsigned i = 0; i < options.flows; ++i) {
    test::FlowFrame frame;
    frame.is_udp = is_udp;
    frame.needs_checksum = !frames.has_full_checksums_;
    frame.data_bytes = frames.data_bytes_;
    frame.port = 40000 + i;
    frames.flows_.push_back(test::flow_frame(frame));
    if (options.gso_size == 0) continue;
    std::vector<uint8_t>& bytes = frames.flows_.back();
    const uint16_t sizes[] = {static_cast<uint16_t>(headers), static_cast<uint16_t>(options.gso_size)};
    bytes[1] = is_udp ? 5 : 1;  // VIRTIO_NET_HDR_GSO_UDP_L4, _TCPV4
    memcpy(&bytes[2], sizes, sizeof sizes);
  }
  return frames;
}

void LoadFrames::write(uint8_t* buffer, bool is_first) {
  std::vector<uint8_t>& frame = flows_[next_];
  if (++next_ == flows_.size()) next_ = 0;
  if (is_first) memcpy(buffer, frame.data(), frame.size());
  if (!has_sequence_) return;
  uint8_t* tcp = frame.data() + transport_at_;
  uint32_t sequence;
  memcpy(&sequence, tcp + 4, sizeof sequence);
  memcpy(buffer + transport_at_ + 4, &sequence, sizeof sequence);
  memcpy(buffer + transport_at_ + 16, tcp + 16, 2);
  const uint32_t before = __builtin_bswap32(sequence), after = before + data_bytes_;
  const uint32_t swapped = __builtin_bswap32(after);
  memcpy(tcp + 4, &swapped, sizeof swapped);
  if (!has_full_checksums_) return;
  // RFC 1624: the checksum of a packet of which one field has changed.
  uint32_t sum = 0xffffu & ~static_cast<uint32_t>(tcp[16] << 8 | tcp[17]);
  sum += (~before >> 16) + (~before & 0xffff) + (after >> 16) + (after & 0xffff);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  tcp[16] = static_cast<uint8_t>(~sum >> 8);
  tcp[17] = static_cast<uint8_t>(~sum);
}

}  // namespace tapferry::front
