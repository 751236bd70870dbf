// SPDX-License-Identifier: MIT
//
// IP datagrams from their fragments (RFC 791, 3.2; RFC 8200, 4.5), in bounded memory. Pure: the time is an argument.
#pragma once

#include <bitset>
#include <cstdint>
#include <list>
#include <optional>

#include "tools/frames.h"

namespace tapferry {

class Reassembly {
 public:
  static constexpr size_t kMaxDatagrams = 8;  // the oldest gives way
  static constexpr int64_t kTimeoutMs = 30000;
  static constexpr size_t kMaxPayload = 65535;

  // The whole payload, once the last missing fragment came. A fragment that overlaps others with different bytes ends
  // its datagram (RFC 5722); one that came before is ignored.
  std::optional<Bytes> add(const IpPacket& fragment, int64_t now_ms);

  size_t size() const { return partial_.size(); }

 private:
  struct Partial {
    IpAddress from;
    IpAddress to;
    uint8_t protocol = 0;
    uint32_t id = 0;
    int64_t began_ms = 0;
    std::optional<size_t> length;  // known from the last fragment
    size_t received = 0;           // bytes
    Bytes payload;
    std::bitset<kMaxPayload / 8 + 1> blocks;  // of 8 bytes
  };
  enum class Outcome { kKept, kWhole, kBroken };

  std::list<Partial>::iterator find(const IpPacket& fragment, int64_t now_ms);
  static Outcome put(Partial* partial, const IpPacket& fragment);

  std::list<Partial> partial_;  // oldest first
};

}  // namespace tapferry
