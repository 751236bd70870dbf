// SPDX-License-Identifier: MIT
//
// Starting a program; and one run to its end, with what it says watched meanwhile, and ended by force when it takes too long.
#pragma once

#include <functional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

struct ChildProgram {
  std::string path;
  std::vector<std::string> arguments;  // without argv[0], which is the path
  // {number in the child, descriptor here}. Everything else above 2 is closed in the child; what isn't named of 0 to 2
  // is shared with this process.
  std::vector<std::pair<int, Fd>> descriptors;
  bool resets_signals = false;  // no signal blocked or ignored in the child, whatever this process does
};

// The program's pid; the caller waits for it. The error's code is execve(2)'s.
Result<pid_t> start_child(ChildProgram program);

struct ChildOutput {
  int fd = -1;
  std::function<bool()> on_readable;  // reads once, without waiting; false: there will be no more
};

// Returns the wait status (waitpid(2)) once the program has ended and all that it said has been read. What its own
// children say after that isn't waited for. The error's code is ETIMEDOUT when it was killed, and execve(2)'s when it
// could not be started.
Result<int> run_child(ChildProgram program, std::vector<ChildOutput> outputs, int timeout_ms);

// A pipe for what a child says: {our end, which is non-blocking, the child's}.
Result<std::pair<Fd, Fd>> text_pipe();

// Reads what there is of a pipe once and keeps the first `limit` bytes in `text`; false at its end.
bool read_text(int fd, size_t limit, std::string* text);

// A program's line as a reason.
std::string without_newline(std::string text);

// "status 3", "signal 9 (Killed)".
std::string describe_wait_status(int wait_status);

}  // namespace tapferry
