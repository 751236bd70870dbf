// SPDX-License-Identifier: MIT
#include "net/process_fds.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/directory.h"
#include "base/parse.h"

namespace tapferry {
namespace {

// The initial PID namespace's inode, the same on every Linux: PROC_PID_INIT_INO in include/linux/proc_ns.h.
constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;

// Whether the descriptors of the process could be read; one that has just ended has none.
bool visit_process(const std::string& process, int pid, const std::function<void(const DeviceFd&)>& visit) {
  const Directory directory(opendir((process + "/fd").c_str()));
  if (!directory) return errno == ENOENT || errno == ESRCH;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    // Without a word to a file system's server, which may not answer (AT_STATX_DONT_SYNC).
    struct statx status = {};
    if (statx(dirfd(directory.get()), entry->d_name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &status) != 0)
      continue;
    if (!S_ISCHR(status.stx_mode)) continue;
    visit({pid, entry->d_name, makedev(status.stx_rdev_major, status.stx_rdev_minor), status.stx_ino});
  }
  return true;
}

}  // namespace

bool for_each_device_fd(const std::string& proc, const std::function<void(const DeviceFd&)>& visit) {
  const Directory directory(opendir(proc.c_str()));
  if (!directory) return false;
  bool saw_all = true;
  while (const dirent* entry = readdir(directory.get())) {
    const auto pid = parse_uint(entry->d_name, 1, INT32_MAX);
    if (pid && !visit_process(proc + "/" + entry->d_name, static_cast<int>(*pid), visit)) saw_all = false;
  }
  return saw_all;
}

bool is_initial_pid_namespace(const std::string& proc) {
  struct stat status = {};
  return stat((proc + "/1/ns/pid").c_str(), &status) == 0 && status.st_ino == kInitialPidNamespace;
}

}  // namespace tapferry
