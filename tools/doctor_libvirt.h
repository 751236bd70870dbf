// SPDX-License-Identifier: MIT
//
// The helper that a user's libvirt starts.
#pragma once

#include <optional>
#include <string>

namespace tapferry {

// Of the user whose process this is, as libvirt finds it: qemu.conf in his configuration directory.
std::string session_conf();

// bridge_helper of a qemu.conf, if it is there and says so.
std::optional<std::string> helper_in(const std::string& conf);

bool is_same_file(const std::string& one, const std::string& other);

}  // namespace tapferry
