// SPDX-License-Identifier: MIT
#include "tools/doctor_holders.h"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

// The initial PID namespace's inode, the same on every Linux: PROC_PID_INIT_INO in include/linux/proc_ns.h.
constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory open_directory(const std::string& path) { return Directory(opendir(path.c_str())); }

// Without a word to a file system's server, which may not answer (AT_STATX_DONT_SYNC).
void add_device(DIR* directory, const char* name, std::set<dev_t>* devices) {
  struct statx status = {};
  if (statx(dirfd(directory), name, AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0) return;
  if (S_ISCHR(status.stx_mode)) devices->insert(makedev(status.stx_rdev_major, status.stx_rdev_minor));
}

// Whether the descriptors of the process could be read; one that has just ended has none.
bool add_devices_of(const std::string& process, std::set<dev_t>* devices) {
  const Directory directory = open_directory(process + "/fd");
  if (!directory) return errno == ENOENT || errno == ESRCH;
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] != '.') add_device(directory.get(), entry->d_name, devices);
  }
  return true;
}

bool is_initial_pid_namespace(const std::string& proc) {
  struct stat status = {};
  return stat((proc + "/1/ns/pid").c_str(), &status) == 0 && status.st_ino == kInitialPidNamespace;
}

}  // namespace

OpenDevices find_open_devices(const std::string& proc) {
  OpenDevices open;
  const Directory directory = open_directory(proc);
  if (!directory) return open;
  open.is_complete = is_initial_pid_namespace(proc);
  while (const dirent* entry = readdir(directory.get())) {
    if (!parse_uint(entry->d_name, 1, INT32_MAX)) continue;
    if (!add_devices_of(proc + "/" + entry->d_name, &open.devices)) open.is_complete = false;
  }
  return open;
}

}  // namespace tapferry
