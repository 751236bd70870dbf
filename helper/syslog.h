// SPDX-License-Identifier: MIT
//
// Lines for the system's log (RFC 3164, AUTHPRIV), written as the auditor and the warden do: to a socket that was connected
// before they gave everything up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Connected to /dev/log; not open where nobody listens.
Result<Fd> connect_to_syslog();

// "<PRIORITY>PROGRAM[PID]: TEXT", in ASCII: whoever reads a log must not be fooled by letters that look alike or turn the
// line around.
std::string syslog_line(int pid, std::string_view text, std::string_view program = "tapferry-helper");

struct Removal {
  uint32_t uid = 0;  // whose the interface was
  std::string name;
  int index = 0;
  std::string reason;
  std::string failure;  // empty: it is gone
};

// The warden's line about an interface that it removed, or couldn't. Not waited for: there is nobody to refuse anything to.
void log_removal(const Fd& syslog, const Removal& removal);

}  // namespace tapferry
