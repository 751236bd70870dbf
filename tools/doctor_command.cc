// SPDX-License-Identifier: MIT
#include "tools/doctor_command.h"

#include <glib.h>
#include <unistd.h>

namespace tapferry {
namespace {

constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,=@%";

}  // namespace

std::string as_root(std::string_view command) { return (geteuid() == 0 ? "" : "sudo ") + std::string(command); }

std::string shell_word(const std::string& text) {
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  g_autofree char* quoted = g_shell_quote(text.c_str());
  return quoted;
}

// Debian's word for whichever editor there is; all of its alternatives take the line's number like this.
std::string edit_command(const std::string& file, long line) {
  return as_root("editor " + (line > 0 ? "+" + std::to_string(line) + " " : "") + shell_word(file));
}

std::string append_command(const std::string& line, const std::string& file) {
  g_autofree char* directory = g_path_get_dirname(file.c_str());
  const std::string make = access(directory, F_OK) == 0 ? "" : as_root("install -d " + shell_word(directory)) + " && ";
  return make + "echo " + shell_word(line) + " | " + as_root("tee -a " + shell_word(file));
}

}  // namespace tapferry
