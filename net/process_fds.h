// SPDX-License-Identifier: MIT
//
// The devices that processes have open, as /proc tells it.
#pragma once

#include <functional>
#include <string>
#include <sys/types.h>

namespace tapferry {

struct DeviceFd {
  int pid = 0;
  const char* number = "";  // of the descriptor, as it is called in /proc/PID/fd; good during the visit only
  dev_t device = 0;         // a character device
  ino_t inode = 0;          // of the node that it was opened through
};

// Visits each descriptor of a character device of each process that `proc` shows. False: not all of them could be looked
// into (another user's, hidepid), or `proc` is no proc file system. Asks no file system's server.
bool for_each_device_fd(const std::string& proc, const std::function<void(const DeviceFd&)>& visit);

// Whether `proc` is that of the initial PID namespace, which shows all processes of the host that its mount options let it show.
bool is_initial_pid_namespace(const std::string& proc);

}  // namespace tapferry
