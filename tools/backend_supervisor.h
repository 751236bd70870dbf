// SPDX-License-Identifier: MIT
//
// The process that keeps the tapferry-vhosts of one `tapferry run` going, and ends them: see tools/backend.h.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"

namespace tapferry {

// What the supervisor writes to its report once everything is ready; anything else is why it isn't.
inline constexpr std::string_view kReadyReport = "ready";

// In the directory, where there is a log.
inline constexpr const char* kLogName = "/log";

struct SupervisedBackend {
  std::string ifname;
  std::vector<Fd> taps;
  std::string socket_path;
  Fd listener;
  Fd state;  // memfd; survives the process that writes it

  // While it runs.
  pid_t pid = -1;
  Fd process;  // pidfd
  Fd channel;  // it writes a byte there when it is ready, and ends when we have gone
  bool is_ready = false;
  unsigned failures = 0;  // in a row, of starts that didn't get ready
  std::chrono::steady_clock::time_point restart_at = {};
};

struct Supervisor {
  std::string program;
  std::string directory;
  std::vector<SupervisedBackend> backends;
  Fd lifeline;  // its end means the command's
  Fd report;    // to the process that becomes the command
};

// Runs to the end; returns the exit status. The caller has nothing to do but to exit with it.
int supervise(Supervisor supervisor);

}  // namespace tapferry
