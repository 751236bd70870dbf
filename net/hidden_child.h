// SPDX-License-Identifier: MIT
//
// A program run within somebody else's process (libtapferry in a VMM), which may have a SIGCHLD handler, ignore SIGCHLD, or wait for
// any child at any moment: none of that may notice the program, or take its exit status away.
//
// So between the two stands a keeper, a process that clone(2) makes without an exit signal: its end sends nothing, and only who asks
// with __WALL or __WCLONE waits for it. (execve(2) sets SIGCHLD again, so the program can't be that child itself.) The keeper is
// the program's parent, which the audit line names. It works in the memory and with the descriptors of this process while the
// calling thread sleeps, as a child of vfork(2) does: a copy of a VMM's memory would take as long as the VMM is large.
#pragma once

#include <vector>

#include "base/result.h"
#include "net/child.h"

namespace tapferry {

// As run_child(), but this process's signals and other children have no part in it, and the program starts with no signal blocked or
// ignored. The calling thread takes no signal meanwhile.
Result<int> run_hidden_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms);

}  // namespace tapferry
