// SPDX-License-Identifier: MIT
//
// The IPv4 and IPv6 addresses of interfaces, as rtnetlink shows them (RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR; rtnetlink(7)).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/ip_address.h"
#include "net/rtnl.h"

namespace tapferry {

struct InterfaceAddress {
  int ifindex = 0;
  IpAddress local;  // the interface's own
  unsigned prefix_length = 0;
  std::optional<IpAddress> peer;  // the other end of a point-to-point link
  unsigned scope = 0;             // RT_SCOPE_*
  uint32_t flags = 0;             // IFA_F_* of <linux/if_addr.h>

  bool operator==(const InterfaceAddress&) const = default;
};

// "192.0.2.1/24", "192.0.2.1/32 peer 192.0.2.2": what `ip address add` takes.
std::string to_string(const InterfaceAddress& address);

// Whether the kernel takes both for one address of an interface, whatever became of flags, scope, or an IPv6 address's
// peer: of IPv4 each pair of address and prefix is one (__inet_insert_ifa()), of IPv6 each address (ipv6_get_ifaddr()).
bool is_same_address(const InterfaceAddress& a, const InterfaceAddress& b);

// Of an RTM_NEWADDR or RTM_DELADDR; nothing for another type or family, or a message that is malformed.
std::optional<InterfaceAddress> parse_address(const nlmsghdr* header);

// Calls `visit` for every address of the interface, of all interfaces for 0. Asked again by itself when the list changed
// meanwhile, so `visit` may see an address twice; the error's code is EINTR if it went on changing.
Status for_each_address(Rtnl& rtnl, int ifindex, const std::function<void(const InterfaceAddress&)>& visit);

}  // namespace tapferry
