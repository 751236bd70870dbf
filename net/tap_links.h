// SPDX-License-Identifier: MIT
//
// All taps and macvtaps of this network namespace with their counters, by one dump of rtnetlink. Needs no privilege.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/bridge_port.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

struct FrameCounters {
  uint64_t bytes = 0;
  uint64_t frames = 0;
  uint64_t errors = 0;
  uint64_t dropped = 0;

  bool operator==(const FrameCounters&) const = default;
};

struct TapLink {
  Link link;
  FrameCounters received;  // by the host's interface (IFLA_STATS64, rx_*)
  FrameCounters sent;
  // Of a tap that may have several: those that are open, also such as are switched off (TUNSETQUEUE).
  std::optional<unsigned> queues;
  bool is_lower_elsewhere = false;  // Link::lower is an index of another network namespace
  std::optional<PortFlags> port;    // of a bridge's port
};

struct TapLinks {
  std::vector<TapLink> taps;         // by index
  std::map<int, std::string> names;  // of all interfaces, by index
};

// Of an RTM_NEWLINK; nothing if that is neither a tap nor a macvtap (a tun without Ethernet isn't either).
std::optional<TapLink> parse_tap_link(const nlmsghdr* header);

// While interfaces come and go the kernel may miss one that was there all the time, or tell one twice: it is asked again then, a
// few times, and the last answer counts.
Result<TapLinks> read_tap_links(Rtnl& rtnl);

}  // namespace tapferry
