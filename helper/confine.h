// SPDX-License-Identifier: MIT
//
// The second half of stage 2: which system calls are left (seccomp(2)). The lists are in helper/confine_compile.cc, which
// libseccomp turns into BPF at build time.
#pragma once

#include "base/result.h"

namespace tapferry {

// For the front process: reading files, rtnetlink on the socket that is open already, the tun ioctls, one sendmsg.
// Must not: execute, fork, trace, open sockets, map memory executable.
Status confine_front();

// For the process that makes macvtaps, once its sockets are open: nodes in its directory, the tap ioctls, rtnetlink.
Status confine_maker();

// For the process that stays: rtnetlink, inotify, the makers' connections.
Status confine_warden();

// For the process that keeps a port of Open vSwitch, and for ovs-vsctl, which it starts and which inherits the filter.
Status confine_ovs_keeper();

// For the process that writes the audit line: receive, send, exit.
Status confine_auditor();

}  // namespace tapferry
