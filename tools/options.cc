// SPDX-License-Identifier: MIT
#include "tools/options.h"

#include <unistd.h>

#include "config.h"

namespace tapferry {

Status parse_options(const CommandHelp& help, const GOptionEntry* entries, int argc, char** argv) {
  g_autoptr(GOptionContext) context = g_option_context_new(help.parameters);
  g_option_context_set_summary(context, help.summary);
  g_option_context_set_description(context, help.description);
  g_option_context_set_strict_posix(context, TRUE);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_set_prgname(argv[0]);
  g_autoptr(GError) error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    return Error("read", "the command line", error->message);
  }
  if (argc > 1) return Error("read", "the command line", "`" + std::string(argv[1]) + "' is no option");
  return {};
}

std::vector<std::string> strings_of(char** array) {
  std::vector<std::string> strings;
  for (char** one = array; one != nullptr && *one != nullptr; ++one) strings.emplace_back(*one);
  return strings;
}

std::optional<std::string> string_of(const char* text) {
  if (text == nullptr) return std::nullopt;
  return text;
}

std::string helper_path(const char* option) {
  if (option != nullptr) return option;
  const char* variable = getenv("TAPFERRY_HELPER");
  if (variable != nullptr && *variable != '\0') return variable;
  g_autofree char* program = g_file_read_link("/proc/self/exe", nullptr);
  if (program != nullptr) {
    g_autofree char* folder = g_path_get_dirname(program);
    const std::string beside = std::string(folder) + "/tapferry-helper";
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  return TAPFERRY_HELPER_PATH;
}

}  // namespace tapferry
