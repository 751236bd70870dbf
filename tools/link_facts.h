// SPDX-License-Identifier: MIT
//
// All that netdevice(7) reads of an interface, gathered so that it is one and the same interface's.
#pragma once

#include <netinet/in.h>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/netdevice.h"
#include "net/netdevice_detail.h"
#include "net/netdevice_proc.h"
#include "tools/link.h"

namespace tapferry {

struct Ipv4Facts {
  std::string label;
  in_addr address{};
  unsigned prefix_len = 0;
  in_addr broadcast{};    // 0.0.0.0: none
  in_addr destination{};  // the address itself where there is no peer
};

struct LinkFacts {
  LinkTarget link;
  unsigned flags = 0;                     // IFF_*
  std::optional<unsigned> private_flags;  // none on Linux
  int metric = 0;
  int mtu = 0;           // bytes
  int tx_queue_len = 0;  // frames
  HardwareAddress address;
  NetdeviceDetail detail;
  HardwareMap map;
  std::vector<Ipv4Facts> ipv4;
  std::vector<Ipv6Entry> ipv6;
  std::vector<MulticastEntry> multicast;
  InterfaceCounters counters;
};

// Of the interfaces that `which` names (find_link_target()); of all there are if it is empty, without those that vanish
// meanwhile.
Result<std::vector<LinkFacts>> read_links(const std::vector<std::string>& which);

}  // namespace tapferry
