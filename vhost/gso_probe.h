// SPDX-License-Identifier: MIT
//
// Which GSO types the kernel takes from us on a tap or macvtap, asked of the kernel itself: UDP_L4 came in 6.2 only, and no ioctl
// tells of the direction into the host.
#pragma once

#include "vhost/coalescer.h"

namespace tapferry {

// Writes five small frames to the non-blocking `tap_fd`, whose vnet header has `header_bytes`, and sees which are refused. They get
// nowhere: gso_probe.cc says why. Nothing is set where the answers make no sense.
MergeTypes probe_gso(int tap_fd, unsigned header_bytes);

}  // namespace tapferry
