// SPDX-License-Identifier: MIT
#include "tools/echo.h"

#include <algorithm>

namespace tapferry {
namespace {

// ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861) message types.
constexpr uint8_t kIcmpEchoRequest = 8;
constexpr uint8_t kIcmpEchoReply = 0;
constexpr uint8_t kIcmpv6EchoRequest = 128;
constexpr uint8_t kIcmpv6EchoReply = 129;
constexpr uint8_t kSolicitation = 135;
constexpr uint8_t kAdvertisement = 136;

constexpr size_t kIcmpHeader = 8;
constexpr size_t kNeighbourHeader = 24;   // with the target's address
constexpr uint8_t kOnLinkHopLimit = 255;  // neighbour messages never crossed a router
constexpr uint8_t kFlagSolicited = 0x40;
constexpr uint8_t kFlagOverride = 0x20;

constexpr uint16_t kArpRequest = 1;
constexpr uint16_t kArpReply = 2;

const Mac kBroadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
const Mac kAllNodesMac = {{0x33, 0x33, 0, 0, 0, 1}};
const IpAddress kAllNodes = {true, {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

bool is_group(const Mac& mac) { return (mac.bytes[0] & 1) != 0; }

Error flaw(std::string_view reason) { return Error("read", "a frame", reason); }

// The message with its checksum (bytes 2 and 3) filled in.
void seal(Bytes* message, uint64_t initial_sum) {
  store16(*message, 2, 0);
  store16(*message, 2, checksum_of(initial_sum + partial_sum(*message)));
}

uint64_t initial_sum(const IpAddress& from, const IpAddress& to, size_t length) {
  return from.is_v6 ? pseudo_header_sum(from, to, length, kProtocolIcmpv6) : 0;
}

// An IPv6 packet with a neighbour advertisement for `address`.
Bytes advertisement(const Mac& mac, const IpAddress& address, const IpAddress& to, uint8_t flags) {
  Bytes message = {kAdvertisement, 0, 0, 0, flags, 0, 0, 0};
  append(&message, address.view());
  // Option 2, the target's link-layer address, one unit of 8 bytes.
  append(&message, Bytes{2, 1});
  append(&message, mac.bytes);
  seal(&message, initial_sum(address, to, message.size()));
  IpPacket packet;
  packet.from = address;
  packet.to = to;
  packet.protocol = kProtocolIcmpv6;
  packet.hop_limit = kOnLinkHopLimit;
  packet.payload = message;
  return ip_packets(packet, 1280).front();
}

}  // namespace

bool EchoGuest::is_ours(const IpAddress& address) const {
  return std::find(config_.addresses.begin(), config_.addresses.end(), address) != config_.addresses.end();
}

std::vector<Bytes> EchoGuest::announce() const {
  std::vector<Bytes> frames;
  for (const IpAddress& address : config_.addresses) {
    if (address.is_v6) {
      const Bytes packet = advertisement(config_.mac, address, kAllNodes, kFlagOverride);
      frames.push_back(ethernet_bytes(kAllNodesMac, config_.mac, kTypeIpv6, packet));
    } else {
      const Bytes packet = arp_bytes({kArpRequest, config_.mac, address, Mac{}, address});
      frames.push_back(ethernet_bytes(kBroadcast, config_.mac, kTypeArp, packet));
    }
  }
  return frames;
}

Result<EchoReply> EchoGuest::answer(View bytes, int64_t now_ms) {
  const EthernetFrame frame = TRY(parse_ethernet(bytes));
  if ((frame.to != config_.mac && !is_group(frame.to)) || frame.from == config_.mac) return EchoReply{};
  if (is_group(frame.from)) return flaw("its source is a group address");
  if (frame.type == kTypeArp) return answer_arp(frame);
  if (frame.type == kTypeIpv4 || frame.type == kTypeIpv6) return answer_ip(frame, now_ms);
  return EchoReply{};
}

EchoReply EchoGuest::answer_arp(const EthernetFrame& frame) const {
  const auto request = parse_arp(frame.payload);
  if (!request || request->operation != kArpRequest || !is_ours(request->target)) return {};
  const Bytes reply = arp_bytes({kArpReply, config_.mac, request->target, request->sender_mac, request->sender});
  return {EchoReply::Kind::kArp, {ethernet_bytes(frame.from, config_.mac, kTypeArp, reply)}};
}

Result<EchoReply> EchoGuest::answer_ip(const EthernetFrame& frame, int64_t now_ms) {
  IpPacket packet = TRY(parse_ip_packet(frame.type, frame.payload));
  const uint8_t icmp = packet.from.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp;
  // Solicitations come to a multicast address, everything else to ours.
  const bool may_be_solicitation = packet.from.is_v6 && packet.to.is_multicast();
  if (packet.protocol != icmp || (!is_ours(packet.to) && !may_be_solicitation)) return EchoReply{};
  Bytes whole;
  if (packet.is_fragment()) {
    auto payload = reassembly_.add(packet, now_ms);
    if (!payload) return EchoReply{};
    whole = *std::move(payload);
    packet.payload = whole;
  }
  if (packet.payload.size() < kIcmpHeader) return flaw("its ICMP message is malformed");
  const uint64_t sum = initial_sum(packet.from, packet.to, packet.payload.size());
  if (checksum_of(sum + partial_sum(packet.payload)) != 0) return flaw("its ICMP message's checksum is wrong");
  return packet.from.is_v6 ? answer_icmpv6(frame, packet) : answer_icmp(frame, packet);
}

Result<EchoReply> EchoGuest::answer_icmp(const EthernetFrame& frame, const IpPacket& packet) {
  if (packet.payload[0] != kIcmpEchoRequest || packet.payload[1] != 0) return EchoReply{};
  return answer_echo(frame, packet, kIcmpEchoReply);
}

Result<EchoReply> EchoGuest::answer_icmpv6(const EthernetFrame& frame, const IpPacket& packet) {
  if (packet.payload[1] != 0) return EchoReply{};
  if (packet.payload[0] == kSolicitation) return answer_solicitation(frame, packet);
  if (packet.payload[0] != kIcmpv6EchoRequest || !is_ours(packet.to)) return EchoReply{};
  return answer_echo(frame, packet, kIcmpv6EchoReply);
}

// RFC 4861, 7.1.1 and 7.2.4
EchoReply EchoGuest::answer_solicitation(const EthernetFrame& frame, const IpPacket& packet) const {
  if (packet.hop_limit != kOnLinkHopLimit || packet.payload.size() < kNeighbourHeader) return {};
  const IpAddress target = ip_address(packet.payload.subspan(8, 16));
  if (!is_ours(target)) return {};
  // From nowhere: somebody tries whether the address is free, and everybody may hear the answer.
  const bool is_unaddressed = packet.from.is_unspecified();
  const IpAddress& to = is_unaddressed ? kAllNodes : packet.from;
  const Mac& to_mac = is_unaddressed ? kAllNodesMac : frame.from;
  const auto flags = static_cast<uint8_t>(kFlagOverride | (is_unaddressed ? 0 : kFlagSolicited));
  const Bytes reply = advertisement(config_.mac, target, to, flags);
  return {EchoReply::Kind::kNeighbour, {ethernet_bytes(to_mac, config_.mac, kTypeIpv6, reply)}};
}

EchoReply EchoGuest::answer_echo(const EthernetFrame& frame, const IpPacket& request, uint8_t reply_type) {
  if (request.from.is_multicast() || request.from.is_unspecified()) return {};
  Bytes message(request.payload.begin(), request.payload.end());
  message[0] = reply_type;
  seal(&message, initial_sum(request.to, request.from, message.size()));
  IpPacket reply;
  reply.from = request.to;
  reply.to = request.from;
  reply.protocol = request.protocol;
  reply.id = next_id_++;
  reply.payload = message;
  EchoReply answer;
  answer.kind = EchoReply::Kind::kEcho;
  for (const Bytes& packet : ip_packets(reply, config_.mtu)) {
    answer.frames.push_back(ethernet_bytes(frame.from, config_.mac, frame.type, packet));
  }
  return answer;
}

}  // namespace tapferry
