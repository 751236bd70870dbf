// SPDX-License-Identifier: MIT
//
// Frames of one flow, TCP or UDP over IPv4 or IPv6, as a guest would send them: vnet header of 12 bytes, Ethernet, right lengths and
// checksums. What is asked for in FlowFrame goes in as it is, right or not.
#pragma once

#include <cstdint>
#include <utility>

#include "tests/lib/segmenter.h"

namespace tapferry::test {

struct FlowFrame {
  bool is_v6 = false;
  bool is_udp = false;
  bool needs_checksum = false;  // left to the receiver, as a guest with VIRTIO_NET_F_CSUM does
  unsigned data_bytes = 64;
  uint8_t data_seed = 1;
  uint32_t sequence = 1000;
  uint32_t ack = 77;
  uint8_t flags = 0x10;
  unsigned window = 501;
  unsigned urgent = 0;
  Bytes options = {};  // of TCP; a multiple of four
  unsigned id = 40;
  unsigned fragment = 0x4000;  // DF
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint8_t mac = 1;     // last byte of the source's MAC
  uint8_t source = 1;  // last byte of its address
  unsigned port = 40000;
};

inline Bytes flow_frame(const FlowFrame& asked) {
  const size_t vnet = 12;
  Bytes bytes(vnet + 14 + (asked.is_v6 ? 40 : 20));
  const std::span<uint8_t> ethernet = std::span(bytes).subspan(vnet, 14);
  const std::span<uint8_t> ip = std::span(bytes).subspan(vnet + 14);
  const Bytes macs = {0x52, 0x54, 0, 0, 0, 9, 0x52, 0x54, 0, 0, 0, asked.mac};
  std::copy(macs.begin(), macs.end(), ethernet.begin());
  put16(ethernet, 12, asked.is_v6 ? 0x86dd : 0x0800);
  const auto transport_bytes = static_cast<unsigned>((asked.is_udp ? 8 : 20 + asked.options.size()) + asked.data_bytes);
  const unsigned protocol = asked.is_udp ? 17 : 6;
  unsigned pseudo = protocol + transport_bytes;
  if (asked.is_v6) {
    ip[0] = static_cast<uint8_t>(0x60 | asked.tos >> 4);
    ip[1] = static_cast<uint8_t>(asked.tos << 4);
    put16(ip, 4, transport_bytes);
    ip[6] = static_cast<uint8_t>(protocol);
    ip[7] = asked.ttl;
    ip[8] = ip[24] = 0xfd;
    ip[23] = asked.source;
    ip[39] = 9;
    pseudo = slow_sum(ip.subspan(8, 32), pseudo);
  } else {
    ip[0] = 0x45;
    ip[1] = asked.tos;
    put16(ip, 2, 20 + transport_bytes);
    put16(ip, 4, asked.id & 0xffff);
    put16(ip, 6, asked.fragment);
    ip[8] = asked.ttl;
    ip[9] = static_cast<uint8_t>(protocol);
    put32(ip, 12, 0x0a000000u + asked.source);
    put32(ip, 16, 0x0a000009u);
    put16(ip, 10, 0xffff - slow_sum(ip));
    pseudo = slow_sum(ip.subspan(12, 8), pseudo);
  }
  const size_t transport_at = bytes.size();
  bytes.resize(transport_at + transport_bytes);
  const std::span<uint8_t> transport = std::span(bytes).subspan(transport_at);
  put16(transport, 0, asked.port);
  put16(transport, 2, 9);
  const unsigned field = asked.is_udp ? 6 : 16;
  if (asked.is_udp) {
    put16(transport, 4, transport_bytes);
  } else {
    put32(transport, 4, asked.sequence);
    put32(transport, 8, asked.ack);
    transport[12] = static_cast<uint8_t>((20 + asked.options.size()) / 4 << 4);
    transport[13] = asked.flags;
    put16(transport, 14, asked.window);
    put16(transport, 18, asked.urgent);
    std::copy(asked.options.begin(), asked.options.end(), transport.begin() + 20);
  }
  uint8_t byte = asked.data_seed;
  for (uint8_t& data : transport.last(asked.data_bytes)) data = byte = static_cast<uint8_t>(byte * 5 + 3);
  if (asked.needs_checksum) {
    bytes[0] = 1;
    bytes[6] = static_cast<uint8_t>(transport_at - vnet);
    bytes[8] = static_cast<uint8_t>(field);
    put16(transport, field, pseudo);
  } else {
    const unsigned checksum = 0xffff - slow_sum(transport, pseudo);
    put16(transport, field, asked.is_udp && checksum == 0 ? 0xffff : checksum);
  }
  return bytes;
}

// `count` frames that follow each other: sequence numbers and IDs go on.
inline std::vector<Bytes> flow(FlowFrame frame, unsigned count) {
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < count; ++i) {
    frames.push_back(flow_frame(frame));
    frame.sequence += frame.data_bytes;
    ++frame.id;
    ++frame.data_seed;
  }
  return frames;
}

}  // namespace tapferry::test
