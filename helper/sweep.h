// SPDX-License-Identifier: MIT
//
// Taps that their holders left behind. Whoever holds a tap's descriptor can make it persistent without any privilege
// (TUNSETPERSIST) and go: the interface would stay for good, and its quota slot with it. Nobody who wasn't granted that
// keeps it: a later hand-over deletes it, at the latest one that would otherwise be refused for want of the slot.
#pragma once

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// Looks at every tap of this network namespace.
Status sweep_all(Rtnl& rtnl);

// What a hand-over can afford however many interfaces there are: the oldest eight taps, since what was left behind grows old
// while VMs come and go; and all of them once in 64 hand-overs, by chance. Reading the list costs some 9 us an interface, and at a
// thousand of them would take three times as long as all the rest (docs/PERFORMANCE.md). `scan` is used up.
Status sweep_some(Rtnl& rtnl, Rtnl scan);

}  // namespace tapferry
