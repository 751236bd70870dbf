// SPDX-License-Identifier: MIT
//
// What the parts of Netdevice share: a request about a named interface, and the error of one that failed.
#pragma once

#include <linux/if.h>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tapferry {

// With the name in it; a colon is let through only in a label.
Result<ifreq> request_for(const std::string& name);
Result<ifreq> request_for_label(const std::string& label);

// As Error::from_errno; EPERM names the capability.
Error netdevice_error(std::string_view action, std::string_view object, int code);

}  // namespace tapferry
