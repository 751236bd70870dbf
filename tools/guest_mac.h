// SPDX-License-Identifier: MIT
//
// MAC addresses for guests.
#pragma once

#include "base/result.h"
#include "net/mac.h"

namespace tapferry {

// 52:54:00 and three random bytes: locally administered, and the prefix that people know as a virtual machine's.
Result<Mac> random_guest_mac();

}  // namespace tapferry
