// SPDX-License-Identifier: MIT
//
// The keeper of one port of Open vSwitch: adds it, stays as long as its tap does, and removes it then. A tap goes with its last
// descriptor, but Open vSwitch keeps the port in its database, and would take up whatever gets that name next.
//
// Theory of operation. The front makes the tap; then it asks over a socket pair, as it asks the maker (helper/maker.h):
//
//   port SPEC INDEX   add the port of this tap; answered when frames can cross
//   undo              remove it after all
//
// From before the port is added the keeper listens for the end of the interface, so whenever the front, the VM or both are
// killed the port goes: there is no moment in which nobody knows of it. A port for itself has a process of its own, which sleeps:
// the socket filter wakes it for this interface's end only. What it needs is not much, but not what the warden has
// (CAP_DAC_OVERRIDE, to connect to a socket that is root's, and execve), so they aren't one.
//
// If it is killed the port stays; the next hand-over to Open vSwitch removes it, or `tapferry doctor --repair`.
#pragma once

#include "base/fd.h"
#include "helper/privilege.h"

namespace tapferry {

// Stage 1, in a child of the front's: waits for the request on `channel`; when there is one a child of its own goes on, as the
// front waits for this one's end.
[[noreturn]] void run_ovs_keeper(const Identity& who, Fd channel);

}  // namespace tapferry
