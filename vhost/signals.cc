// SPDX-License-Identifier: MIT
#include "vhost/signals.h"

#include <cerrno>
#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tapferry {

Result<Signals> Signals::open() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a capture that reaches its limit ends by itself (vhost/capture.h)
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
    sigaddset(&signals, number);
    // An ignored one, as a shell's background job may inherit SIGINT, wouldn't come.
    signal(number, SIG_DFL);
  }
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return Error::from_errno("block", "signals", errno);
  Fd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return Error::from_errno("wait for", "signals", errno);
  return Signals(std::move(fd));
}

Signals::Seen Signals::read() const {
  Seen seen;
  signalfd_siginfo info;
  while (::read(fd_.get(), &info, sizeof info) > 0) {
    (info.ssi_signo == SIGUSR1 ? seen.has_dump : seen.has_stop) = true;
  }
  return seen;
}

}  // namespace tapferry
