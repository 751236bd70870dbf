// SPDX-License-Identifier: MIT
//
// Stage 4 for macvtap= and device=, the front's part: the maker does what takes more than the front has.
#pragma once

#include "base/result.h"
#include "helper/device.h"
#include "helper/handover.h"
#include "helper/maker.h"

namespace tapferry {

Result<HandOver> make_macvtap(Rtnl& rtnl, Result<Maker>& maker, const Identity& caller, const Verdict& verdict);

// `found` is what the verdict is about. `tun` is a fresh /dev/net/tun descriptor: a tap that exists for a moment shows
// whether /sys could be believed.
Result<HandOver> open_device(Rtnl& rtnl, Result<Maker>& maker, Fd tun, const Identity& caller, const Verdict& verdict,
                             const Result<Device>& found);

}  // namespace tapferry
