// SPDX-License-Identifier: MIT
//
// Which devices are open somewhere, as far as /proc tells: each process's descriptors. What is on its way in a socket or
// registered with an io_uring isn't among them, and neither is what a thread with a table of its own has. So what is seen
// here is open; what isn't may be open all the same.
#pragma once

#include <set>
#include <string>
#include <sys/types.h>

namespace tapferry {

struct OpenDevices {
  std::set<dev_t> devices;   // character devices
  bool is_complete = false;  // all processes of this host could be looked into
};

// `proc` is where a proc file system is mounted. Incomplete: some processes can't be looked into (another user's, hidepid), or
// /proc is not that of the initial PID namespace, outside of which there are others.
OpenDevices find_open_devices(const std::string& proc = "/proc");

}  // namespace tapferry
