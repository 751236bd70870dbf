// SPDX-License-Identifier: MIT
//
// Commands as the doctor prints them: for a shell, to be copied as they stand.
#pragma once

#include <string>
#include <string_view>

namespace tapferry {

// With sudo in front for whoever isn't root.
std::string as_root(std::string_view command);

// One word of a command, in quotes where it needs some.
std::string shell_word(const std::string& text);

// Opens the file at that line in the administrator's editor; a line of 0 is none.
std::string edit_command(const std::string& file, long line);

// Appends a line to a file of root's. The directory is made if there is none.
std::string append_command(const std::string& line, const std::string& file);

}  // namespace tapferry
