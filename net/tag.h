// SPDX-License-Identifier: MIT
//
// The tag in an interface's alias (IFLA_IFALIAS) that says it is tapferry's and whose. Only CAP_NET_ADMIN can change an
// alias, so a tag can be trusted where the holder of a descriptor can't.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/mac.h"
#include "net/spec.h"

namespace tapferry {

struct Tag {
  uint32_t uid = 0;
  Kind kind = Kind::kBridge;
  std::string upper;  // may be empty
  int64_t since = 0;  // seconds since the epoch
  bool persist = false;
  std::string rule;         // "policy.conf:12"
  bool stays_down = false;  // that rule forces up=off, so its user may not bring it up
  // What a warden has to know who wasn't there when the interface was made:
  unsigned queues = 1;                 // that were handed over; said of macvtaps only
  std::optional<Mac> locked_mac = {};  // lock=on: the MAC address that it has to keep
  bool follows_addresses = false;      // filter=auto

  bool operator==(const Tag&) const = default;
};

// "tapferry uid=1000 kind=bridge upper=br0 since=1767225600 rule=policy.conf:12", at most 255 bytes, which is what an
// alias holds (IFALIASZ); a long rule is cut at the front.
std::string to_string(const Tag& tag);

// Nothing if the alias isn't a tag. Unknown words are passed over: a later version may write more.
std::optional<Tag> parse_tag(std::string_view alias);

}  // namespace tapferry
