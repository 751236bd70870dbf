// SPDX-License-Identifier: MIT
//
// The maker's own side: see helper/maker.h for what it is for. Its messages (net/wire.h), each answered by "made INDEX" with the
// queues, by "ok", or by an error:
//
// It begins by saying "ready", unasked, when it has let go of what was the caller's.
//
//   make SPEC LABEL HASH MAX        a macvtap; MAX is the quota, or "-"
//   open SPEC INDEX MAJOR MINOR     a macvtap that exists
//   watch SPEC INDEX                a tap that the front has made
//   undo                            of make
#pragma once

#include "base/fd.h"
#include "helper/privilege.h"

namespace tapferry {

[[noreturn]] void run_maker(const Identity& who, Fd channel);

}  // namespace tapferry
