// SPDX-License-Identifier: MIT
//
// MAC addresses for guests.
#pragma once

#include <optional>

#include "base/result.h"
#include "net/mac.h"
#include "net/spec.h"

namespace tapferry {

// 52:54:00 and three random bytes: locally administered, and the prefix that people know as a virtual machine's.
Result<Mac> random_guest_mac();

// The one that the guest on an interface should use: guest_mac= of the request, else `macvtap_mac`, the interface's own
// address, which is given for a macvtap, else a random one. A macvtap takes no frame that is sent to another address
// (drivers/net/macvlan.c), while a tap's own address is the host's, not the guest's.
Result<Mac> guest_mac(const Spec& spec, const std::optional<Mac>& macvtap_mac);

}  // namespace tapferry
