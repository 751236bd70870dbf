// SPDX-License-Identifier: MIT
//
// The grant record: what the helper says about the descriptors that it hands over, one JSON object and a newline in the
// same message as they (docs/PROTOCOL.md). The privileged side writes it, by hand; the receiver's reader is net/grant_reader.h.
#pragma once

#include <string>

#include "net/mac.h"
#include "net/spec.h"

namespace tapferry {

struct Grant {
  Kind kind = Kind::kBridge;
  std::string ifname;
  int ifindex = 0;
  std::string upper;  // the bridge, or a macvtap's parent; empty: none, null in JSON
  unsigned queues = 1;
  unsigned vhost = 0;  // descriptors of /dev/vhost-net
  bool vnet_hdr = true;
  unsigned vnet_hdr_sz = 12;  // bytes; 0 without vnet_hdr
  Mac mac;                    // of the interface as it was handed over
  unsigned mtu = 0;           // bytes
  bool up = true;
  std::string rule;  // "policy.conf:12"

  bool operator==(const Grant&) const = default;
};

// One line with its newline, keys in the order above, "version" first. Never longer than kMaxPassedBytes as long as the
// rule's label is at most 1024 bytes.
std::string to_json_line(const Grant& grant);

}  // namespace tapferry
