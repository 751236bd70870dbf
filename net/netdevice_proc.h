// SPDX-License-Identifier: MIT
//
// The lists that netdevice(7) sends its reader to /proc for: of all interfaces, with their counters, of their IPv6 addresses,
// and of their multicast addresses. Those of the calling thread's network namespace. The parsers take the files' text and
// refuse a line that isn't as the kernel writes it (EBADMSG).
#pragma once

#include <cstdint>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tapferry {

// The columns of /proc/net/dev, in their order (dev_seq_printf_stats() in net/core/net-procfs.c).
struct ReceiveCounters {
  uint64_t bytes = 0, packets = 0, errors = 0, dropped = 0, fifo = 0, frame = 0, compressed = 0, multicast = 0;
  bool operator==(const ReceiveCounters&) const = default;
};
struct TransmitCounters {
  uint64_t bytes = 0, packets = 0, errors = 0, dropped = 0, fifo = 0, collisions = 0, carrier = 0, compressed = 0;
  bool operator==(const TransmitCounters&) const = default;
};
struct InterfaceCounters {
  std::string name;
  ReceiveCounters received;
  TransmitCounters sent;
};

// A line of /proc/net/if_inet6. `scope` is the kernel's word for it: 0x00 global, 0x10 host, 0x20 link, 0x40 site.
struct Ipv6Entry {
  static constexpr unsigned kLinkScope = 0x20;

  int index = 0;
  in6_addr address{};
  unsigned prefix_len = 0;
  unsigned scope = 0;
  unsigned flags = 0;  // the lower 8 bits of IFA_F_*
};

// A line of /proc/net/dev_mcast.
struct MulticastEntry {
  int index = 0;
  unsigned users = 0;
  bool is_added_globally = false;  // by SIOCADDMULTI, that is
  std::vector<uint8_t> address;
};

Result<std::vector<InterfaceCounters>> parse_interface_counters(std::string_view text);
Result<std::vector<Ipv6Entry>> parse_ipv6_entries(std::string_view text);
Result<std::vector<MulticastEntry>> parse_multicast_entries(std::string_view text);

Result<std::vector<InterfaceCounters>> read_interface_counters();
// Empty where the kernel has no IPv6.
Result<std::vector<Ipv6Entry>> read_ipv6_entries();
Result<std::vector<MulticastEntry>> read_multicast_entries();

}  // namespace tapferry
