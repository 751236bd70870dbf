// SPDX-License-Identifier: MIT
#include "helper/confine.h"

#include <cerrno>
#include <linux/seccomp.h>
#include <span>
#include <sys/prctl.h>

#include "confine_filters.h"

namespace tapferry {
namespace {

// no_new_privs is set by then, without which the kernel wants CAP_SYS_ADMIN for this (seccomp(2)).
[[maybe_unused]] Status load(std::span<const sock_filter> filter) {
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    return Error::from_errno("failed to drop privileges", "(seccomp)", errno);
  }
  return {};
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// The sanitizers' runtimes need calls of their own at any time; these builds are for tests only.
Status confine_front() { return {}; }
Status confine_auditor() { return {}; }
Status confine_maker() { return {}; }
Status confine_warden() { return {}; }
Status confine_ovs_keeper() { return {}; }
#else
Status confine_front() { return load(kFrontFilter); }
Status confine_auditor() { return load(kAuditorFilter); }
Status confine_maker() { return load(kMakerFilter); }
Status confine_warden() { return load(kWardenFilter); }
Status confine_ovs_keeper() { return load(kOvsKeeperFilter); }
#endif

}  // namespace tapferry
