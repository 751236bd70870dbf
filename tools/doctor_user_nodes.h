// SPDX-License-Identifier: MIT
//
// The nodes /dev/tap<index> that the helper made for users of persistent macvtaps, where the kernel had none (helper/user_node.h).
// One whose interface is gone is a name that opens nothing, or, if its warden was killed before, one that opens whichever
// interface has its number next.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

#include "tools/doctor.h"

namespace tapferry {

// Whether /sys/dev/char, at `directory`, says that the device of this number is called `name`: then the interface is there, in
// whichever network namespace.
bool is_device_named(const std::string& directory, dev_t number, std::string_view name);

// "tap7", whatever the number.
bool is_tap_node_name(std::string_view name);

// A part of check_nodes().
Status check_user_nodes(Diagnosis* diagnosis);

}  // namespace tapferry
