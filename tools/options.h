// SPDX-License-Identifier: MIT
//
// What the commands' option parsing shares: GLib's parser with errors of ours, and where our programs are
// (net/program_path.h).
#pragma once

#include <glib.h>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/ask_broker.h"
#include "net/program_path.h"

namespace tapferry {

struct CommandHelp {
  const char* parameters;   // what follows the options on the usage line
  const char* summary;      // before the list of options
  const char* description;  // behind it
  // Otherwise options end at the first other word, as where a command of its own follows.
  bool has_options_behind_words = false;
};

// Parses a command's options into the entries' variables and prints its help for --help (then the process ends with
// status 0). What is left over is an error unless an entry is G_OPTION_REMAINING.
Status parse_options(const CommandHelp& help, const GOptionEntry* entries, int argc, char** argv);

// The strings of a G_OPTION_ARG_FILENAME_ARRAY, null for none.
std::vector<std::string> strings_of(char** array);
std::optional<std::string> string_of(const char* text);

// The value of --via; without one kAuto, but kHelper if a helper is named.
Result<Via> via_of(const char* text, const char* helper);

}  // namespace tapferry
