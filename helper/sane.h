// SPDX-License-Identifier: MIT
//
// Stage 0: whatever the caller left us (closed descriptors, an environment, blocked signals, a running timer, tiny
// limits) stops mattering.
#pragma once

#include "base/result.h"

namespace tapferry {

// Whether the kernel says that this process has more privilege than its caller (AT_SECURE, getauxval(3)).
bool is_more_privileged_than_caller();

// Should: open 0, 1 and 2 where they are closed, empty the environment, reset signals, timers, umask and limits, forbid
// core dumps and tracing. Must not: read any argument, or open anything but /dev/null.
Status make_sane();

}  // namespace tapferry
