// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {

void log_line(std::string_view program, std::string_view text) {
  std::string line(program);
  line += ": ";
  line += text;
  line += '\n';
  // There is nobody left to tell when stderr itself fails.
  (void)write_all(STDERR_FILENO, line, "stderr").is_ok();
}

void log_error(std::string_view program, const Error& error) { log_line(program, error.line()); }

}  // namespace tapferry
