// SPDX-License-Identifier: MIT
//
// Taps that their holders left behind: whoever holds a tap's descriptor can make it persistent without any privilege
// (TUNSETPERSIST) and go. The helper and `tapferry doctor` delete those, and agree here on which they are.
#pragma once

#include "net/link.h"

namespace tapferry {

// Tagged as ours, persistent though not asked so, and without a queue (a tap without one has no carrier).
bool is_abandoned(const Link& link);

}  // namespace tapferry
