// SPDX-License-Identifier: MIT
//
// The tapferry-vhost processes that serve a command's interfaces over vhost-user, one for each interface.
//
// `tapferry run` becomes the command, so somebody else has to look after them: a supervisor, forked off twice (the command
// has no child that it doesn't know of). It starts each one, starts it again should it die, and ends them all with the
// command, which it notices by a pipe whose other end only the command has: that holds for a command that forks and lets
// its first process end (qemu -daemonize) too. The taps, the sockets that the VMM connects to and the memory with the state
// of packed rings are the supervisor's, so they outlive a tapferry-vhost.
//
// `tapferry attach` ends while its VM goes on: there it is QEMU that has the pipe's other end (tools/hotplug_plan.h).
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// What one tapferry-vhost serves.
struct BackendJob {
  std::string ifname;
  std::vector<Fd> taps;  // one for each queue
};

struct RunningBackends {
  std::vector<std::string> sockets;  // paths, in the order of the jobs, in a directory that only this user can enter
  Fd lifeline;                       // the command inherits it; when its last copy is closed the backends end
};

// Where backends and their supervisor say what there is to say.
enum class BackendLog {
  kStderr,  // of this process
  kFile,    // "log" beside the sockets, gone with them; what hindered a start is in the error, too
};

// Returns when every backend is ready for the VMM to connect. If one doesn't get there all are ended, and nothing is left
// of the directory; what hindered it has been said by itself.
Result<RunningBackends> start_backends(const std::string& program, std::vector<BackendJob> jobs,
                                       BackendLog log = BackendLog::kStderr);

}  // namespace tapferry
