// SPDX-License-Identifier: MIT
//
// What gives the helper its privilege, and what takes it away.
#pragma once

#include <cstdint>
#include <string>

namespace tapferry {

// As the file says, whatever the mount or the process do to it.
struct HelperPower {
  bool is_setuid_root = false;
  bool has_capabilities = false;  // the file has an attribute of them
  uint64_t capabilities = 0;      // those that are effective from the start, as bits

  bool has(int capability) const { return is_setuid_root || (capabilities >> capability & 1) != 0; }
};

HelperPower power_of(const std::string& helper);

// A process that has CAP_NET_ADMIN already, and gives it to the helper as it is.
bool has_net_admin();

// Whether the user namespace maps other ids than the first one does (user_namespaces(7)).
bool is_in_user_namespace();

}  // namespace tapferry
