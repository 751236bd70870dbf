// SPDX-License-Identifier: MIT
//
// Making a ring that can do little: the setting up of vhost/uring_engine.cc, done once for each thread.
//
// seccomp doesn't see what a ring is told to do. So a ring starts disabled, is restricted to the operations below on the few files
// registered with it (io_uring_register(2), IORING_REGISTER_RESTRICTIONS), and only then enabled; after that the process
// forbids itself io_uring_setup(2).
#pragma once

#include <array>
#include <liburing.h>

#include "base/result.h"

namespace tapferry {

// Places in the ring's file table.
enum UringFile : unsigned { kTapFile, kControlFile, kRxKickFile, kTxKickFile, kUringFiles };

// How a read or write of the tap is told not to wait.
//
// O_NONBLOCK alone leaves a read of an empty tap posted from Linux 6.4 on, RWF_NOWAIT returns; before, a tap refuses RWF_NOWAIT
// (EOPNOTSUPP) and O_NONBLOCK does it. Which one is tried on the tap itself, with private memory: a frame that waits there is
// lost. Returns the value of sqe->rw_flags; an error where a read would stay posted.
Result<int> probe_rw_flags(int tap_fd);

// The ring, restricted and enabled for the calling thread (IORING_SETUP_SINGLE_ISSUER), with `tap_fd` and `control_fd` in
// its file table. `entries`: of the submission queue. On error nothing is left of it.
Status set_up_ring(io_uring* ring, unsigned entries, int tap_fd, int control_fd);

}  // namespace tapferry
