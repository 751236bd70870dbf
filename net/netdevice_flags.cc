// SPDX-License-Identifier: MIT
#include "net/netdevice_flags.h"

#include <linux/if.h>

namespace tapferry {
namespace {

constexpr InterfaceFlag kFlags[] = {
    {"up", IFF_UP, true},
    {"broadcast", IFF_BROADCAST, false},
    {"debug", IFF_DEBUG, true},
    {"loopback", IFF_LOOPBACK, false},
    {"pointopoint", IFF_POINTOPOINT, false},
    {"notrailers", IFF_NOTRAILERS, true},
    {"running", IFF_RUNNING, false},
    {"noarp", IFF_NOARP, true},
    {"promisc", IFF_PROMISC, true},
    {"allmulti", IFF_ALLMULTI, true},
    {"master", IFF_MASTER, false},
    {"slave", IFF_SLAVE, false},
    {"multicast", IFF_MULTICAST, true},
    {"portsel", IFF_PORTSEL, true},
    {"automedia", IFF_AUTOMEDIA, true},
    {"dynamic", IFF_DYNAMIC, true},
    {"lower_up", IFF_LOWER_UP, false},
    {"dormant", IFF_DORMANT, false},
    {"echo", IFF_ECHO, false},
};

}  // namespace

std::span<const InterfaceFlag> interface_flags() { return kFlags; }

std::optional<InterfaceFlag> interface_flag(std::string_view name) {
  for (const InterfaceFlag& flag : kFlags) {
    if (flag.name == name) return flag;
  }
  return std::nullopt;
}

std::vector<std::string> interface_flag_names(unsigned flags) {
  std::vector<std::string> names;
  for (const InterfaceFlag& flag : kFlags) {
    if (flags & flag.bit) names.emplace_back(flag.name);
  }
  return names;
}

unsigned changeable_interface_flags() {
  unsigned bits = 0;
  for (const InterfaceFlag& flag : kFlags) {
    if (flag.is_changeable) bits |= flag.bit;
  }
  return bits;
}

}  // namespace tapferry
