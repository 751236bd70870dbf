// SPDX-License-Identifier: MIT
//
// What `tapferry probe` prints of a hand-over: a table for people, or one JSON object.
#pragma once

#include <string>
#include <vector>

#include "tools/checks.h"
#include "tools/inspect.h"

namespace tapferry {

// Columns: property, asked, received, verdict; then one line that sums up.
std::string report_table(const std::vector<Check>& checks);

// The facts with their types, and the table's rows under "checks". One line.
std::string report_json(const Facts& facts, const std::vector<Check>& checks);

}  // namespace tapferry
