// SPDX-License-Identifier: MIT
#include "helper/sane.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

namespace tapferry {
namespace {

// 64 queues, a chain of includes, and some for what the caller left open.
constexpr rlim_t kDescriptors = 4096;

// A descriptor that is opened below 3 would be taken for stdio: an error message could then end in a device.
Status open_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is `fd` itself, since those below are open.
    if (open("/dev/null", O_RDWR) != fd) return Error::from_errno("open", "/dev/null", errno);
  }
  return {};
}

void reset_signals_and_timers() {
  // Failing is for SIGKILL, SIGSTOP and libc's own; nothing else is refused.
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const itimerval off = {};
  for (const __itimer_which timer : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) setitimer(timer, &off, nullptr);
}

// Raises the soft limit as far as allowed. Only CAP_SYS_RESOURCE raises the hard one: without it the caller's stands, and what
// then doesn't suffice fails where it is needed, with its own message.
void raise_limit(__rlimit_resource resource, rlim_t wanted) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  if (limit.rlim_cur >= wanted) return;
  const rlimit raised = {wanted, std::max(limit.rlim_max, wanted)};
  if (setrlimit(resource, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
}

void reset_limits() {
  raise_limit(RLIMIT_NOFILE, kDescriptors);
  for (const __rlimit_resource resource : {RLIMIT_CPU, RLIMIT_AS, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NPROC}) {
    raise_limit(resource, RLIM_INFINITY);
  }
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

}  // namespace

bool is_more_privileged_than_caller() { return getauxval(AT_SECURE) != 0; }

Status make_sane() {
  if (clearenv() != 0) return Error::from_errno("empty", "the environment", ENOMEM);
  TRY(open_standard_descriptors());
  reset_signals_and_timers();
  umask(077);
  reset_limits();
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Error::from_errno("forbid", "core dumps and tracing", errno);
  return {};
}

}  // namespace tapferry
