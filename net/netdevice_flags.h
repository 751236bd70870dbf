// SPDX-License-Identifier: MIT
//
// The names of an interface's flags, as netdevice(7) has them, in lower case and without IFF_.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tapferry {

struct InterfaceFlag {
  const char* name;
  unsigned bit;
  // That SIOCSIFFLAGS can change it: __dev_change_flags() in net/core/dev.c. The others tell what the interface is or does.
  bool is_changeable;
};

// In the order of their bits. The last three are beyond what the ioctls have room for; rtnetlink has them.
std::span<const InterfaceFlag> interface_flags();

std::optional<InterfaceFlag> interface_flag(std::string_view name);
// Bits without a name are left out.
std::vector<std::string> interface_flag_names(unsigned flags);
unsigned changeable_interface_flags();

}  // namespace tapferry
