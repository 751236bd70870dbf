// SPDX-License-Identifier: MIT
//
// A program run within somebody else's process (libtapferry in a VMM), which may have a SIGCHLD handler, ignore SIGCHLD, or wait for
// any child at any moment: none of that may notice the program, or take its exit status away.
//
// Between the two therefore stands a keeper, a copy of this process that was cloned without an exit signal: its end sends nothing, and
// only who asks with __WALL or __WCLONE waits for it (clone(2)). execve(2) sets a SIGCHLD again, so the program can't be that child
// itself. The keeper is the program's parent, which its audit line names; it makes system calls only, since other threads may have
// held any lock when it was made.
#pragma once

#include <vector>

#include "base/result.h"
#include "net/child.h"

namespace tapferry {

// As run_child(), but this process's signals and other children have no part in it. The program starts with no signal blocked or
// ignored, and is killed when this process ends before it.
Result<int> run_hidden_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms);

}  // namespace tapferry
