// SPDX-License-Identifier: MIT
//
// Runs ovs-vsctl(8): always the same file, always against the host's own database. The environment is this process's, which in
// the helper is empty.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace tapferry {

inline constexpr const char* kOvsVsctl = "/usr/bin/ovs-vsctl";
inline constexpr const char* kOvsDatabase = "/run/openvswitch/db.sock";

// What it printed. The error says what was wrong in its own words; its code is ENOENT where it isn't installed, ETIMEDOUT where
// the database, or ovs-vswitchd, didn't answer within `timeout_s`.
Result<std::string> run_ovs_vsctl(const std::vector<std::string>& arguments, int timeout_s);

}  // namespace tapferry
