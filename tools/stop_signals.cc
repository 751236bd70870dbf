// SPDX-License-Identifier: MIT
#include "tools/stop_signals.h"

#include <cerrno>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {

StopSignals::StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, &before_);
  fd_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

StopSignals::~StopSignals() {
  // One that came has had its effect.
  signalfd_siginfo info;
  while (read(fd_.get(), &info, sizeof info) > 0) {
  }
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

Result<bool> StopSignals::wait(int fd, int timeout_ms) const {
  pollfd polled[] = {{fd, POLLIN, 0}, {fd_.get(), POLLIN, 0}};
  const int ready = retry_on_eintr([&] { return poll(polled, 2, timeout_ms); });
  if (ready < 0) return Error::from_errno("wait for", "a connection", errno);
  if (polled[1].revents != 0) return Error::from_errno("wait for", "a connection", EINTR);
  return ready > 0;
}

}  // namespace tapferry
