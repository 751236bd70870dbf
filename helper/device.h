// SPDX-License-Identifier: MIT
//
// device=WHICH: from a path, a name or an index to the macvtap that is meant, with the caller's rights. Which of the three it
// is can't be mistaken: a path begins with a slash, which no name can hold, and an index is digits only.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

struct Device {
  Link link;
  dev_t number = 0;  // of its character device
};

// ENODEV: there is no such interface, or no interface of this network namespace has that device. Errors without a code say what it is
// instead, others why it can't be looked at: a path is, as the caller (O_PATH, O_NOFOLLOW), and nothing of it is opened.
Result<Device> find_device(Rtnl& rtnl, const std::string& which);

// The ways to ask for it, all of which a rule can name: its index, the path that the kernel's own node has, its name unless that
// is a number, and "tap7" unless another interface has that name.
std::vector<std::string> names_of(Rtnl& rtnl, const Device& device);

// Whether the number is one of those that macvtap and ipvtap got at run time (drivers/net/tap.c, tap_create_cdev()).
Result<bool> is_tap_device(dev_t device);

// That /sys shows this network namespace, and not the one that it was mounted in: `name` and `index` are an interface that was made
// just now under a fresh name.
Status check_sysfs(const std::string& name, int index);

}  // namespace tapferry
