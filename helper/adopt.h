// SPDX-License-Identifier: MIT
//
// `tapferryd --adopt`: takes up what a warden watched over that was killed. A process of its own, which ends when that is done.
//
// Theory of operation. A tag says what its interface needs (net/tag.h). A lock's address and filter=auto any new warden takes up by
// itself. For a macvtap it has to hear of the end of each queue, by the inode of the node which that was opened through
// (helper/queue_watches.h). That node has no name any more, but as long as the queue is open, /proc/PID/fd of whoever holds it leads
// there. So all processes' descriptors are looked through once, and the nodes passed on to the warden, which then knows all
// that its predecessor did.
//
// /proc doesn't show a descriptor that is in flight in a socket, or registered with an io_uring and closed. Where fewer
// queues are seen than were handed over, the kernel is asked how many there are (net/macvtap_claim.h): none, and the interface goes; as
// many as are seen, and all is well; more, and it has to be looked at again later.
#pragma once

#include "base/result.h"

namespace tapferry {

// False: something has to be looked at again later. To be called by root, in a process that is for nothing else: it becomes the
// user tapferry.
Result<bool> adopt_orphans();

}  // namespace tapferry
