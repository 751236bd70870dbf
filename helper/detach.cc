// SPDX-License-Identifier: MIT
#include "helper/detach.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/syscall.h"
#include "helper/privilege.h"

namespace tapferry {
namespace {

// Above every number that is given out below.
constexpr int kOutOfTheWay = 16;
// Where cgroup2 is mounted, alone or beside version 1 (cgroups(7)).
constexpr const char* kCgroupRoots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
constexpr const char* kOomScore = "/proc/self/oom_score_adj";

Error move_error() { return Error::from_errno("move", "descriptors", errno); }

Result<Fd> lift(const Fd& fd) {
  Fd high(fcntl(fd.get(), F_DUPFD_CLOEXEC, kOutOfTheWay));
  if (!high.is_open()) return move_error();
  return high;
}

// Anybody may make himself, and what he starts, the first to be killed for want of memory (proc(5)).
void be_no_likelier_victim() {
  const Result<Fd> file = open_file(kOomScore, O_RDWR);
  if (!file.is_ok()) return;
  const Result<std::string> score = read_all(file.value().get(), 64, kOomScore);
  if (score.is_ok() && !score.value().starts_with('-')) (void)write_all(file.value().get(), "0", kOomScore).is_ok();
}

// The root cgroup is in nobody's hands; the caller may own his own (cgroup.kill, cgroup.freeze; cgroups(7), delegation),
// and a session's end kills what is in its. Where that can't be done (no cgroup2, read-only) it stays where it is.
void leave_callers_cgroup() {
  for (const std::string root : kCgroupRoots) {
    struct statfs file_system;
    if (statfs(root.c_str(), &file_system) != 0 || file_system.f_type != CGROUP2_SUPER_MAGIC) continue;
    const Result<Fd> processes = open_file(root + "/cgroup.procs", O_WRONLY);
    if (processes.is_ok()) (void)write_all(processes.value().get(), "0", root).is_ok();
  }
}

}  // namespace

Status detach_from_caller(std::vector<Fd> kept) {
  if (setsid() < 0) return Error::from_errno("start", "a session", errno);
  if (chdir("/") != 0) return Error::from_errno("change to", "/", errno);
  Fd null = TRY(open_file("/dev/null", O_RDWR));
  Fd high_null = TRY(lift(null));
  std::vector<Fd> high;
  for (const Fd& fd : kept) high.push_back(TRY(lift(fd)));
  for (int fd = 0; fd < kFirstKept; ++fd) {
    if (dup2(high_null.get(), fd) < 0) return move_error();
  }
  int next = kFirstKept;
  for (const Fd& fd : high) {
    if (dup3(fd.get(), next++, O_CLOEXEC) < 0) return move_error();
  }
  if (close_range(static_cast<unsigned>(next), ~0u, 0) != 0) return Error::from_errno("close", "descriptors", errno);
  // All closed by now, or one of the fixed numbers.
  (void)high_null.release();
  for (Fd& fd : high) (void)fd.release();
  for (Fd& fd : kept) (void)fd.release();
  (void)null.release();
  return {};
}

// These files are root's. What can't be done is no reason to refuse.
void leave_callers_reach() {
  if (!raise_capability(CAP_DAC_OVERRIDE).is_ok()) return;
  be_no_likelier_victim();
  leave_callers_cgroup();
  (void)lower_capability(CAP_DAC_OVERRIDE).is_ok();
}

}  // namespace tapferry
