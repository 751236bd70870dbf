// SPDX-License-Identifier: MIT
//
// Ethernet, ARP and IP as bytes: what the echo guest reads and writes. Pure; every length is checked before it is used.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/ip_address.h"
#include "net/mac.h"

namespace tapferry {

using Bytes = std::vector<uint8_t>;
using View = std::span<const uint8_t>;

inline constexpr size_t kEthernetHeader = 14;

// <linux/if_ether.h>
inline constexpr uint16_t kTypeIpv4 = 0x0800;
inline constexpr uint16_t kTypeArp = 0x0806;
inline constexpr uint16_t kTypeIpv6 = 0x86dd;

// <netinet/in.h>
inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

uint16_t load16(View bytes, size_t at);
void store16(std::span<uint8_t> bytes, size_t at, uint16_t value);
void append(Bytes* bytes, View more);

// RFC 1071: sums of several parts are added, all parts but the last of even length; then checksum_of() the sum.
uint64_t partial_sum(View bytes);
uint16_t checksum_of(uint64_t sum);

struct EthernetFrame {
  Mac to;
  Mac from;
  uint16_t type = 0;
  View payload;
};

// The error of these says "short" with the lengths when the frame ends before its own headers say.
Result<EthernetFrame> parse_ethernet(View frame);
// Padded to 60 bytes, the least that Ethernet has.
Bytes ethernet_bytes(const Mac& to, const Mac& from, uint16_t type, View payload);

struct ArpPacket {
  uint16_t operation = 0;  // 1: request, 2: reply
  Mac sender_mac;
  IpAddress sender;
  Mac target_mac;
  IpAddress target;
};

// Nothing: not ARP for IPv4 over Ethernet.
std::optional<ArpPacket> parse_arp(View payload);
Bytes arp_bytes(const ArpPacket& packet);

// One IP packet of either family, a whole one or a fragment.
struct IpPacket {
  IpAddress from;
  IpAddress to;
  uint8_t protocol = 0;
  uint8_t hop_limit = 64;
  uint32_t id = 0;
  size_t fragment_offset = 0;  // bytes
  bool has_more_fragments = false;
  View payload;

  bool is_fragment() const { return fragment_offset != 0 || has_more_fragments; }
};

// Of extension headers only the fragment header is looked behind.
Result<IpPacket> parse_ip_packet(uint16_t type, View payload);

// The packet as bytes, in as many fragments as packets of `mtu` bytes take.
std::vector<Bytes> ip_packets(const IpPacket& packet, size_t mtu);

// The sum that ICMPv6 begins with (RFC 8200, 8.1).
uint64_t pseudo_header_sum(const IpAddress& from, const IpAddress& to, size_t length, uint8_t protocol);

}  // namespace tapferry
