// SPDX-License-Identifier: MIT
//
// What this process gives up before it looks at a guest's memory, in two steps: before the first thread exists, and when all
// threads have made their rings.
//
// It never had privilege that it needs; what a guest would gain by taking it over are its user's files, the network, and other
// processes of the user. What it keeps are the descriptors that it has, and the system calls that move frames.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace tapferry {

// Before the first thread, since the first three are of a thread and those that it makes:
//   - no_new_privs, and no capabilities, also where root started it;
//   - Landlock: no file can be opened, made or executed; below `unlink_folder` (empty: nowhere) files can be removed, which the
//     socket's is at the end; no TCP, no signal and no abstract socket to the outside, as far as the kernel has that;
//   - not dumpable, no core file: both would show the guest's memory.
// Returns what this kernel lacks of it, for people: empty, or "no Landlock".
Result<std::string> enter_sandbox(const std::string& unlink_folder);

struct SystemCalls {
  bool has_uring = false;   // a thread's engine is io_uring
  bool has_epoll = false;   // a thread's engine is the other one
  bool can_unlink = false;  // the socket is ours to remove
};

// When all descriptors are open and every thread has its ring: seccomp for all threads at once (TSYNC). What isn't on the list in
// sandbox.cc fails with EPERM, execve(2) kills. A ring's operations are no system calls: it was restricted when it was made
// (vhost/uring_setup.h), and here io_uring_setup(2) goes.
Status close_sandbox(const SystemCalls& calls);

}  // namespace tapferry
