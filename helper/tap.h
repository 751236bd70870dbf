// SPDX-License-Identifier: MIT
//
// Stage 4 for bridge= and tap=: a tap is made, or one that exists is attached to.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/handover.h"
#include "helper/maker.h"

namespace tapferry {

// `tun` are fresh /dev/net/tun descriptors, one for each queue.
Result<HandOver> make_tap(Rtnl& rtnl, std::vector<Fd> tun, Result<Maker>& maker, const Identity& caller,
                          const Verdict& verdict);

}  // namespace tapferry
