// SPDX-License-Identifier: MIT
#include "tools/frames.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

namespace tapferry {
namespace {

constexpr size_t kMinFrame = 60;  // without the frame check sequence
constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kFragmentHeader = 8;
constexpr uint8_t kProtocolFragment = 44;
constexpr uint16_t kIpv4MoreFragments = 0x2000;

Error flaw(std::string_view reason) { return Error("read", "a frame", reason); }

Error short_flaw(std::string_view what, size_t said, size_t there) {
  return flaw("short: its " + std::string(what) + " says " + std::to_string(said) + " bytes, there are " +
              std::to_string(there));
}

void append16(Bytes* bytes, uint16_t value) {
  bytes->push_back(static_cast<uint8_t>(value >> 8));
  bytes->push_back(static_cast<uint8_t>(value));
}

void append32(Bytes* bytes, uint32_t value) {
  append16(bytes, static_cast<uint16_t>(value >> 16));
  append16(bytes, static_cast<uint16_t>(value));
}

Mac mac_at(View bytes, size_t at) {
  Mac mac;
  std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), mac.bytes.size(), mac.bytes.begin());
  return mac;
}

// RFC 791, 3.1
Result<IpPacket> parse_ipv4(View bytes) {
  if (bytes.size() < kIpv4Header) return short_flaw("IPv4 header", kIpv4Header, bytes.size());
  const size_t header = (bytes[0] & 15u) * 4u;
  const size_t total = load16(bytes, 2);
  if (bytes[0] >> 4 != 4 || header < kIpv4Header || total < header) return flaw("its IPv4 header is malformed");
  if (total > bytes.size()) return short_flaw("IPv4 header", total, bytes.size());
  if (checksum_of(partial_sum(bytes.first(header))) != 0) return flaw("its IPv4 header's checksum is wrong");
  IpPacket packet;
  packet.id = load16(bytes, 4);
  const uint16_t fragment = load16(bytes, 6);
  packet.has_more_fragments = (fragment & kIpv4MoreFragments) != 0;
  packet.fragment_offset = (fragment & 0x1fffu) * 8u;
  packet.hop_limit = bytes[8];
  packet.protocol = bytes[9];
  packet.from = ip_address(bytes.subspan(12, 4));
  packet.to = ip_address(bytes.subspan(16, 4));
  packet.payload = bytes.subspan(header, total - header);
  return packet;
}

// RFC 8200, 3 and 4.5
Result<IpPacket> parse_ipv6(View bytes) {
  if (bytes.size() < kIpv6Header) return short_flaw("IPv6 header", kIpv6Header, bytes.size());
  if (bytes[0] >> 4 != 6) return flaw("its IPv6 header is malformed");
  const size_t length = load16(bytes, 4);
  if (kIpv6Header + length > bytes.size()) {
    return short_flaw("IPv6 header", kIpv6Header + length, bytes.size());
  }
  IpPacket packet;
  packet.protocol = bytes[6];
  packet.hop_limit = bytes[7];
  packet.from = ip_address(bytes.subspan(8, 16));
  packet.to = ip_address(bytes.subspan(24, 16));
  packet.payload = bytes.subspan(kIpv6Header, length);
  if (packet.protocol != kProtocolFragment) return packet;
  if (length < kFragmentHeader) return short_flaw("fragment header", kFragmentHeader, length);
  const View fragment = packet.payload;
  packet.protocol = fragment[0];
  packet.fragment_offset = load16(fragment, 2) & ~7u;
  packet.has_more_fragments = (fragment[3] & 1) != 0;
  packet.id = static_cast<uint32_t>(load16(fragment, 4)) << 16 | load16(fragment, 6);
  packet.payload = fragment.subspan(kFragmentHeader);
  return packet;
}

Bytes ipv4_bytes(const IpPacket& packet, size_t offset, View part, bool has_more) {
  Bytes bytes = {0x45, 0};
  append16(&bytes, static_cast<uint16_t>(kIpv4Header + part.size()));
  append16(&bytes, static_cast<uint16_t>(packet.id));
  append16(&bytes, static_cast<uint16_t>(offset / 8 | (has_more ? kIpv4MoreFragments : 0)));
  bytes.push_back(packet.hop_limit);
  bytes.push_back(packet.protocol);
  append16(&bytes, 0);
  append(&bytes, packet.from.view());
  append(&bytes, packet.to.view());
  store16(bytes, 10, checksum_of(partial_sum(bytes)));
  append(&bytes, part);
  return bytes;
}

Bytes ipv6_bytes(const IpPacket& packet, size_t offset, View part, bool has_more) {
  const bool is_fragment = offset != 0 || has_more;
  Bytes bytes;
  append32(&bytes, 6u << 28);
  append16(&bytes, static_cast<uint16_t>(part.size() + (is_fragment ? kFragmentHeader : 0)));
  bytes.push_back(is_fragment ? kProtocolFragment : packet.protocol);
  bytes.push_back(packet.hop_limit);
  append(&bytes, packet.from.view());
  append(&bytes, packet.to.view());
  if (is_fragment) {
    bytes.push_back(packet.protocol);
    bytes.push_back(0);
    append16(&bytes, static_cast<uint16_t>(offset | (has_more ? 1 : 0)));
    append32(&bytes, packet.id);
  }
  append(&bytes, part);
  return bytes;
}

}  // namespace

uint16_t load16(View bytes, size_t at) { return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]); }

void store16(std::span<uint8_t> bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

void append(Bytes* bytes, View more) { bytes->insert(bytes->end(), more.begin(), more.end()); }

uint64_t partial_sum(View bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load16(bytes, i);
  if (bytes.size() % 2 == 1) sum += static_cast<uint64_t>(bytes.back()) << 8;
  return sum;
}

uint16_t checksum_of(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Result<EthernetFrame> parse_ethernet(View frame) {
  if (frame.size() < kEthernetHeader) return short_flaw("Ethernet header", kEthernetHeader, frame.size());
  EthernetFrame parsed;
  parsed.to = mac_at(frame, 0);
  parsed.from = mac_at(frame, 6);
  parsed.type = load16(frame, 12);
  parsed.payload = frame.subspan(kEthernetHeader);
  return parsed;
}

Bytes ethernet_bytes(const Mac& to, const Mac& from, uint16_t type, View payload) {
  Bytes bytes;
  bytes.reserve(std::max(kMinFrame, kEthernetHeader + payload.size()));
  append(&bytes, to.bytes);
  append(&bytes, from.bytes);
  append16(&bytes, type);
  append(&bytes, payload);
  if (bytes.size() < kMinFrame) bytes.resize(kMinFrame);
  return bytes;
}

// RFC 826, with Ethernet (1) and IPv4 and their lengths.
constexpr uint8_t kArpHead[] = {0, 1, 8, 0, 6, 4};
constexpr size_t kArpLength = 28;

std::optional<ArpPacket> parse_arp(View payload) {
  if (payload.size() < kArpLength || memcmp(payload.data(), kArpHead, sizeof kArpHead) != 0) return std::nullopt;
  ArpPacket packet;
  packet.operation = load16(payload, 6);
  packet.sender_mac = mac_at(payload, 8);
  packet.sender = ip_address(payload.subspan(14, 4));
  packet.target_mac = mac_at(payload, 18);
  packet.target = ip_address(payload.subspan(24, 4));
  return packet;
}

Bytes arp_bytes(const ArpPacket& packet) {
  Bytes bytes(kArpHead, kArpHead + sizeof kArpHead);
  append16(&bytes, packet.operation);
  append(&bytes, packet.sender_mac.bytes);
  append(&bytes, packet.sender.view());
  append(&bytes, packet.target_mac.bytes);
  append(&bytes, packet.target.view());
  return bytes;
}

Result<IpPacket> parse_ip_packet(uint16_t type, View payload) {
  return type == kTypeIpv6 ? parse_ipv6(payload) : parse_ipv4(payload);
}

std::vector<Bytes> ip_packets(const IpPacket& packet, size_t mtu) {
  const bool is_v6 = packet.from.is_v6;
  const size_t whole_header = is_v6 ? kIpv6Header : kIpv4Header;
  const size_t fragment_header = is_v6 ? kIpv6Header + kFragmentHeader : kIpv4Header;
  std::vector<Bytes> packets;
  size_t step = packet.payload.size();
  if (whole_header + step > mtu) {
    // Offsets count in units of 8 bytes.
    step = mtu < fragment_header + 8 ? 8 : (mtu - fragment_header) / 8 * 8;
  }
  size_t offset = 0;
  do {
    const View part = packet.payload.subspan(offset, std::min(step, packet.payload.size() - offset));
    const bool has_more = offset + part.size() < packet.payload.size();
    packets.push_back(is_v6 ? ipv6_bytes(packet, offset, part, has_more) : ipv4_bytes(packet, offset, part, has_more));
    offset += step;
  } while (offset < packet.payload.size());
  return packets;
}

uint64_t pseudo_header_sum(const IpAddress& from, const IpAddress& to, size_t length, uint8_t protocol) {
  return partial_sum(from.view()) + partial_sum(to.view()) + length + protocol;
}

}  // namespace tapferry
