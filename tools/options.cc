// SPDX-License-Identifier: MIT
#include "tools/options.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

#include "config.h"
#include "tools/command.h"

namespace tapferry {
namespace {

void replace(std::string* text, std::string_view before, std::string_view after) {
  const size_t at = text->find(before);
  if (at != std::string::npos) text->replace(at, before.size(), after);
}

// GLib's help, but in plain ASCII: its ellipsis comes out as a question mark in a locale without UTF-8.
[[noreturn]] void print_help(GOptionContext* context) {
  g_autofree char* raw = g_option_context_get_help(context, TRUE, nullptr);
  std::string text = raw;
  replace(&text, "\xe2\x80\xa6", "...");
  replace(&text, "Application Options:", "Options:");
  fputs(text.c_str(), stdout);
  exit(fflush(stdout) == 0 ? kExitDone : fail(Error::from_errno("write", "stdout", errno)));
}

}  // namespace

Status parse_options(const CommandHelp& help, const GOptionEntry* entries, int argc, char** argv) {
  g_autoptr(GOptionContext) context = g_option_context_new(help.parameters);
  g_option_context_set_summary(context, help.summary);
  g_option_context_set_description(context, help.description);
  g_option_context_set_strict_posix(context, !help.has_options_behind_words);
  gboolean is_help = FALSE;
  const GOptionEntry help_entry[] = {{"help", 'h', 0, G_OPTION_ARG_NONE, &is_help, "print this", nullptr}, {}};
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_main_entries(context, help_entry, nullptr);
  g_set_prgname(argv[0]);
  g_autoptr(GError) error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    return Error("read", "the command line", error->message);
  }
  if (is_help) print_help(context);
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

Result<Via> via_of(const char* text, const char* helper) {
  if (text == nullptr) return helper == nullptr ? Via::kAuto : Via::kHelper;
  const auto via = parse_via(text);
  if (!via) return Error("read", "--via=" + std::string(text), "it is helper, broker or auto");
  return *via;
}

}  // namespace tapferry
