// SPDX-License-Identifier: MIT
//
// A guest so small that it only answers: ARP, ICMP echo, ICMPv6 neighbour solicitation and echo, also in fragments.
// Pure: a frame in, frames out, the time as an argument.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "net/mac.h"
#include "tools/frames.h"
#include "tools/reassembly.h"

namespace tapferry {

struct EchoConfig {
  Mac mac;
  std::vector<IpAddress> addresses;
  size_t mtu = 1500;  // bytes
};

struct EchoReply {
  enum class Kind { kNone, kArp, kNeighbour, kEcho };
  Kind kind = Kind::kNone;
  std::vector<Bytes> frames;  // none for frames that aren't for this guest
};

class EchoGuest {
 public:
  explicit EchoGuest(EchoConfig config) : config_(std::move(config)) {}

  // What tells neighbours that remember another MAC for the addresses: gratuitous ARP (RFC 5227, 3) and unsolicited
  // neighbour advertisements (RFC 4861, 7.2.6).
  std::vector<Bytes> announce() const;

  // The answers to one frame. The error names what is wrong with a frame: too short for what it says, a checksum.
  Result<EchoReply> answer(View frame, int64_t now_ms);

 private:
  bool is_ours(const IpAddress& address) const;
  EchoReply answer_arp(const EthernetFrame& frame) const;
  Result<EchoReply> answer_ip(const EthernetFrame& frame, int64_t now_ms);
  Result<EchoReply> answer_icmp(const EthernetFrame& frame, const IpPacket& packet);
  Result<EchoReply> answer_icmpv6(const EthernetFrame& frame, const IpPacket& packet);
  EchoReply answer_solicitation(const EthernetFrame& frame, const IpPacket& packet) const;
  EchoReply answer_echo(const EthernetFrame& frame, const IpPacket& packet, uint8_t reply_type);

  EchoConfig config_;
  Reassembly reassembly_;
  uint32_t next_id_ = 1;
};

}  // namespace tapferry
