// SPDX-License-Identifier: MIT
//
// What a process that is forked at stage 1 lets go of, so that it is neither seen nor held by the caller: his session and
// directory, stdio, his socket, and whatever else he left open.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// The first descriptor that detach_from_caller keeps; the others follow.
inline constexpr int kFirstKept = 3;

// Own session, cwd /, stdio on /dev/null; of all descriptors only `kept` stay, in this order as kFirstKept,
// kFirstKept + 1, ... Whoever owned another one before must not close it again.
Status detach_from_caller(std::vector<Fd> kept);

// For a process that outlives the caller: out of his cgroup, which he may own, and no likelier than others to be killed for want
// of memory. Needs a permitted CAP_DAC_OVERRIDE; what can't be done is left.
void leave_callers_reach();

}  // namespace tapferry
