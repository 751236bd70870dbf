// SPDX-License-Identifier: MIT
#include "tools/command.h"

#include <string>

#include "base/log.h"

namespace tapferry {

int fail(const Error& error) {
  log_error(kProgram, error);
  return kExitFailed;
}

int fail_usage(const char* command, const Error& error) {
  log_error(kProgram, error);
  log_line(kProgram, "try: tapferry " + std::string(command) + " --help");
  return kExitUsage;
}

}  // namespace tapferry
