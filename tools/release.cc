// SPDX-License-Identifier: MIT
//
// `tapferry release`: gives back an interface that was granted with persist=on. The helper does it, for those of its caller.

#include <string>

#include "net/ask.h"
#include "tools/command.h"
#include "tools/options.h"

namespace tapferry {
namespace {

struct ReleaseOptions {
  std::string helper;
  std::string ifname;
};

constexpr CommandHelp kHelp = {
    "IFNAME", "Deletes an interface that you were granted with persist=on, also while somebody has it open.",
    "  tapferry probe --net=bridge=br0,name=vm-1,persist=on\n"
    "  tapferry release vm-1\n",
    true};

Result<ReleaseOptions> read_options(int argc, char** argv) {
  g_autofree char* helper = nullptr;
  g_auto(GStrv) names = nullptr;
  const GOptionEntry entries[] = {
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, nullptr, nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  const std::vector<std::string> words = strings_of(names);
  if (words.size() != 1) return Error("read", "the command line", "give the name of one interface");
  return ReleaseOptions{helper_path(helper), words[0]};
}

}  // namespace

int release_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("release", options.error());
  const Status released = ask_to_release(options.value().helper, options.value().ifname);
  return released.is_ok() ? kExitDone : fail(released.error());
}

}  // namespace tapferry
