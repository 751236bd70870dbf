// SPDX-License-Identifier: MIT
//
// `tapferry monitor` at work: what is heard goes through the selection to stdout, to the guest, and to the question whether
// that was it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/monitor_selection.h"

namespace tapferry {

struct MonitorOptions {
  std::vector<std::string> names;  // none: all interfaces
  bool waits = false;
  bool has_json = false;
  ExitConditions exit_on;
  size_t receive_buffer_bytes = 0;  // 0: the default
  std::optional<std::string> qmp;   // socket; then there is one name
  std::string guest_id;
};

// Prints until there is an end, and gives the exit status: 0 after a condition of `exit_on`, SIGINT or SIGTERM, and when
// nobody reads stdout any more. When all that was followed is removed, or the guest has gone, that was all there was to do
// (0), unless a condition was waited for in vain (1).
Result<int> watch_interfaces(const MonitorOptions& options);

}  // namespace tapferry
