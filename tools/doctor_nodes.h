// SPDX-License-Identifier: MIT
//
// The device nodes through which queues of macvtaps are opened: made, opened and unlinked within milliseconds, unless
// whoever made them is killed in between. The warden's are in kNodeDirectory (net/warden_names.h), which only its user may
// look into.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tapferry {

// Those of `tapferry doctor` are directly in /dev, and begin so.
inline constexpr const char* kOwnNodes = "/dev";
inline constexpr std::string_view kOwnNodePrefix = ".tapferry-";

// Names in `directory` that begin with `prefix` and are character devices made more than a minute ago. A directory that
// doesn't exist has none.
Result<std::vector<std::string>> find_old_nodes(const std::string& directory, std::string_view prefix);

// Removes one of them. ENOENT: it isn't there any more.
Status remove_old_node(const std::string& directory, const std::string& name);

}  // namespace tapferry
