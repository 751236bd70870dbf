// SPDX-License-Identifier: MIT
//
// What a program tells the person who started it: one line on stderr, written at once.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tapferry {

// "PROGRAM: TEXT\n" in one write(2), so that lines of several processes don't mix. `text` must be escaped already.
void log_line(std::string_view program, std::string_view text);

// The error's line.
void log_error(std::string_view program, const Error& error);

}  // namespace tapferry
