// SPDX-License-Identifier: MIT
#include "helper/confine.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <memory>
#include <seccomp.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>

namespace tapferry {
namespace {

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

Error confine_error(int code) { return Error::from_errno("failed to drop privileges", "(seccomp)", -code); }

Result<Filter> new_filter() {
  Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return confine_error(-ENOMEM);
  return filter;
}

Status allow(const Filter& filter, std::span<const int> calls) {
  for (const int call : calls) {
    const int status = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    if (status != 0) return confine_error(status);
  }
  return {};
}

// Where one argument must be as given.
Status allow_if(const Filter& filter, int call, scmp_arg_cmp comparison) {
  const int status = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, comparison);
  if (status != 0) return confine_error(status);
  return {};
}

Status load(const Filter& filter) {
  const int status = seccomp_load(filter.get());
  if (status != 0) return confine_error(status);
  return {};
}

// What libc and its allocator need wherever they are, and what ends a process.
constexpr int kMemoryAndExit[] = {
    SCMP_SYS(brk),        SCMP_SYS(munmap),       SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid), SCMP_SYS(gettid),  SCMP_SYS(tgkill),
    SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigprocmask),
};

constexpr int kFiles[] = {
    SCMP_SYS(openat), SCMP_SYS(read),  SCMP_SYS(close),      SCMP_SYS(fstat),      SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),  SCMP_SYS(write), SCMP_SYS(getdents64), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
};

// wait4 is for the auditor.
constexpr int kSocketsAndCapabilities[] = {
    SCMP_SYS(wait4),
    SCMP_SYS(sendto),     SCMP_SYS(sendmsg),     SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),       SCMP_SYS(poll),
    SCMP_SYS(getsockopt), SCMP_SYS(getpeername), SCMP_SYS(capset),   SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
};

// drivers/net/tun.c; nothing that reads or filters frames.
constexpr unsigned kTunOperations[] = {TUNSETIFF, TUNSETOWNER, TUNSETVNETHDRSZ, TUNGETIFF, TUNGETVNETHDRSZ};
constexpr unsigned kDescriptorOperations[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// The sanitizers' runtimes need calls of their own at any time; these builds are for tests only.
Status confine_front() { return {}; }
Status confine_auditor() { return {}; }
#else

Status confine_front() {
  const Filter filter = TRY(new_filter());
  TRY(allow(filter, kMemoryAndExit));
  TRY(allow(filter, kFiles));
  TRY(allow(filter, kSocketsAndCapabilities));
  TRY(allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  // The request is an unsigned int in the kernel; what a caller has in the upper half is passed over there too.
  for (const unsigned operation : kTunOperations) {
    TRY(allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation)));
  }
  for (const unsigned operation : kDescriptorOperations) {
    TRY(allow_if(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, operation)));
  }
  return load(filter);
}

Status confine_auditor() {
  const Filter filter = TRY(new_filter());
  constexpr int kCalls[] = {SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll)};
  TRY(allow(filter, kMemoryAndExit));
  TRY(allow(filter, kCalls));
  return load(filter);
}

#endif

}  // namespace tapferry
