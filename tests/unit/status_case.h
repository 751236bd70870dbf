// SPDX-License-Identifier: MIT
//
// Interfaces of `tapferry status' that are made up.
#pragma once

#include <linux/if.h>
#include <string>
#include <utility>
#include <vector>

#include "tools/status.h"

namespace tapferry {

inline InterfaceStatus interface(const std::string& name, const std::string& user = "alice", double bytes = 0,
                                 double frames = 0) {
  InterfaceStatus one;
  one.link.name = name;
  one.link.flags = IFF_UP;
  one.link.has_carrier = true;
  one.kind = "bridge";
  one.upper = "br0";
  one.user = user;
  one.uid = 1000;
  one.rules = TrafficRules();
  one.receive_rate = {bytes, frames};
  one.send_rate = TrafficRate();
  return one;
}

inline StatusSnapshot snapshot(std::vector<InterfaceStatus> interfaces) {
  StatusSnapshot made;
  made.interfaces = std::move(interfaces);
  made.time_us = 1767225600000000;
  return made;
}

}  // namespace tapferry
