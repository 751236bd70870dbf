// SPDX-License-Identifier: MIT
//
// `tapferry release` and `tapferry up`: what becomes of an interface that was granted before. The helper does it, or tapferryd, for
// those of whoever asks.

#include <string>

#include "net/ask_broker.h"
#include "tools/command.h"
#include "tools/options.h"

namespace tapferry {
namespace {

struct GrantedOptions {
  std::string helper;
  Via via = Via::kAuto;
  std::string ifname;
};

constexpr CommandHelp kReleaseHelp = {
    "IFNAME", "Deletes an interface that you were granted with persist=on, also while somebody has it open.",
    "  tapferry probe --net=bridge=br0,name=vm-1,persist=on\n"
    "  tapferry release vm-1\n",
    true};

constexpr CommandHelp kUpHelp = {
    "IFNAME",
    "Brings up an interface that you were granted with up=off: when the guest may be heard, as at the\n"
    "end of a migration. Not if the policy's rule forces up=off.",
    "  tapferry run --net=macvtap=eth0,name=vm-1,up=off -- qemu-system-x86_64 ...\n"
    "  tapferry up vm-1\n",
    true};

Result<GrantedOptions> read_options(const CommandHelp& help, int argc, char** argv) {
  g_autofree char* helper = nullptr;
  g_autofree char* via = nullptr;
  g_auto(GStrv) names = nullptr;
  const GOptionEntry entries[] = {
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {"via", 0, 0, G_OPTION_ARG_STRING, &via, "whom to ask (default: auto)", "helper|broker|auto"},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, nullptr, nullptr},
      {}};
  TRY(parse_options(help, entries, argc, argv));
  const std::vector<std::string> words = strings_of(names);
  if (words.size() != 1) return Error("read", "the command line", "give the name of one interface");
  return GrantedOptions {
    helper_path(helper), TRY(via_of(via, helper))
    , words[0]
  };
}

int change(const char* command, const CommandHelp& help, GrantChange what, int argc, char** argv) {
  const auto options = read_options(help, argc, argv);
  if (!options.is_ok()) return fail_usage(command, options.error());
  const GrantedOptions& asked = options.value();
  const Status changed = change_via(asked.via, asked.helper, what, asked.ifname);
  return changed.is_ok() ? kExitDone : fail(changed.error());
}

}  // namespace

int release_command(int argc, char** argv) {
  return change("release", kReleaseHelp, GrantChange::kRelease, argc, argv);
}

int up_command(int argc, char** argv) { return change("up", kUpHelp, GrantChange::kBringUp, argc, argv); }

}  // namespace tapferry
