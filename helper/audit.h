// SPDX-License-Identifier: MIT
//
// The audit line: one for every grant and every refusal, in syslog (AUTHPRIV), before a descriptor leaves.
//
// The front process runs as the caller from stage 2 on, and a line that it sent would carry the caller's uid: he could write
// lines like it himself. So a process that keeps uid 0 is forked off at stage 1, before anything is parsed. It gives up every
// capability and almost every system call, lets go of all descriptors but two, takes text from the front over a
// socketpair, puts who asked in front of it (which it knows from the fork, not from the text), and sends it. It ends when
// the front does. With file capabilities instead of setuid there is no other uid to keep; docs/PRIVILEGE.md says so.
#pragma once

#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "helper/privilege.h"

namespace tapferry {

class Auditor {
 public:
  // Stage 1; forks. Only the front process returns from it.
  static Result<Auditor> start(const Identity& who);

  Auditor(Auditor&&) = default;
  // Waits for the auditor's end. It inherited the caller's socket and stderr, and lets go of them early; but a front that
  // refuses at once could be gone before, and then somebody else than the caller's helper would hold them still.
  ~Auditor();

  // The hand-over is complete: nothing is waited for, since an auditor that has answered holds nothing of the caller's.
  void detach() { channel_.reset(); }

  // Waits until the line is with syslog. No error where no syslog listens; an error where one does but the line can't be
  // delivered within three seconds, so that a flooded log is no way to act unseen. `facts` is escaped text.
  Status record(std::string_view facts);

 private:
  Auditor(Fd channel, pid_t child) : channel_(std::move(channel)), child_(child) {}
  Fd channel_;
  pid_t child_;
};

}  // namespace tapferry
