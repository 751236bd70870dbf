// SPDX-License-Identifier: MIT
#include "tools/doctor_holders.h"

#include "net/process_fds.h"

namespace tapferry {

OpenDevices find_open_devices(const std::string& proc) {
  OpenDevices open;
  const bool saw_all = for_each_device_fd(proc, [&](const DeviceFd& fd) { open.devices.insert(fd.device); });
  open.is_complete = saw_all && is_initial_pid_namespace(proc);
  return open;
}

}  // namespace tapferry
