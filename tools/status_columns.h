// SPDX-License-Identifier: MIT
//
// The columns that `tapferry status' and `tapferry top' have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/status.h"
#include "tools/text_table.h"

namespace tapferry {

// One row for each, in their order.
TextTable status_columns(const std::vector<const InterfaceStatus*>& interfaces, int64_t time_us);

}  // namespace tapferry
