// SPDX-License-Identifier: MIT
//
// `tapferry link`: netdevice(7) from the command line. This file reads the command lines of show and set.
#include "tools/link.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tools/command.h"
#include "tools/options.h"

namespace tapferry {
namespace {

constexpr CommandHelp kHelp = {"show|set ...",
                               "Shows or changes a network interface by the operations of netdevice(7).",
                               "  tapferry link show [IFNAME...] [--json]\n"
                               "  tapferry link set IFNAME CHANGE...\n"
                               "\n"
                               "tapferry link show --help and tapferry link set --help say more."};

constexpr CommandHelp kShowHelp = {
    "[IFNAME...]", "Shows the interfaces of that name, altname or index; without any, all of them. Needs no privilege.",
    "  tapferry link show br0\n"
    "  tapferry link show --json\n"};

constexpr CommandHelp kSetHelp = {
    "IFNAME CHANGE...", "Changes an interface: all that is asked for, in that order, or nothing. Needs CAP_NET_ADMIN.",
    "Changes:\n"
    "  up | down\n"
    "  name NAME                    while it is down\n"
    "  mtu BYTES\n"
    "  txqueuelen FRAMES\n"
    "  address MAC\n"
    "  broadcast MAC                of the hardware\n"
    "  multicast add|delete MAC     an address that is let in\n"
    "  FLAG on|off\n"
    "  inet ADDRESS[/LENGTH] | none\n"
    "  netmask MASK, brdaddr ADDRESS, dstaddr ADDRESS\n"
    "  inet6 add|delete ADDRESS/LENGTH\n"
    "  map KEY=NUMBER,...           mem_start, mem_end, base_addr, irq, dma, port\n"
    "  metric NUMBER, private-flags NUMBER    which no Linux takes\n"
    "FLAG is promisc, allmulti, multicast, noarp, arp (its opposite), debug, notrailers, portsel,\n"
    "automedia or dynamic.\n"
    "\n"
    "  tapferry link set veth0 mtu 1400 promisc on up\n"
    "  tapferry link set veth0 down name guest0 address 52:54:00:12:34:56 up\n"};

// Options may stand behind the names, as in other commands of the kind; behind `--' there are only names.
void put_options_first(int argc, char** argv) {
  char** end = std::find_if(argv + 1, argv + argc, [](const char* word) { return strcmp(word, "--") == 0; });
  std::stable_partition(argv + 1, end, [](const char* word) { return word[0] == '-' && word[1] != '\0'; });
}

// What the command line of a subcommand leaves for it besides options; argv[0] is the subcommand's name.
struct SubcommandLine {
  std::vector<std::string> words;
  bool is_json = false;
};

Result<SubcommandLine> read_line(const CommandHelp& help, bool has_json, int argc, char** argv) {
  g_auto(GStrv) words = nullptr;
  gboolean json = FALSE;
  GOptionEntry entries[] = {{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &words, nullptr, nullptr},
                            {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print one JSON object", nullptr},
                            {}};
  if (!has_json) entries[1] = {};
  TRY(parse_options(help, entries, argc, argv));
  return SubcommandLine{strings_of(words), json != FALSE};
}

int show(int argc, char** argv) {
  put_options_first(argc, argv);
  const auto line = read_line(kShowHelp, true, argc, argv);
  if (!line.is_ok()) return fail_usage("link", line.error());
  const auto text = show_links(line.value().words, line.value().is_json);
  if (!text.is_ok()) return fail(text.error());
  fputs(text.value().c_str(), stdout);
  return kExitDone;
}

int set(int argc, char** argv) {
  const auto line = read_line(kSetHelp, false, argc, argv);
  if (!line.is_ok()) return fail_usage("link", line.error());
  const std::vector<std::string>& words = line.value().words;
  if (words.empty()) return fail_usage("link", Error("read", "the command line", "no interface is named"));
  const auto changes = parse_changes(std::span(words).subspan(1));
  if (!changes.is_ok()) return fail_usage("link", changes.error());
  const auto done = set_link(words.front(), changes.value());
  return done.is_ok() ? kExitDone : fail(done.error());
}

}  // namespace

int link_command(int argc, char** argv) {
  constexpr struct {
    const char* name;
    int (*run)(int argc, char** argv);
  } kSubcommands[] = {{"show", show}, {"set", set}};
  for (const auto& each : kSubcommands) {
    if (argc < 2 || strcmp(argv[1], each.name) != 0) continue;
    std::string name = std::string(argv[0]) + " " + each.name;
    argv[1] = name.data();
    return each.run(argc - 1, argv + 1);
  }
  const GOptionEntry none[] = {{}};
  // Prints the help and ends, if that is asked for.
  const auto line = parse_options(kHelp, none, argc, argv);
  if (!line.is_ok() && argc > 1 && argv[1][0] == '-') return fail_usage("link", line.error());
  const std::string reason =
      argc < 2 ? "show or set is wanted" : "`" + std::string(argv[1]) + "' is neither show nor set";
  return fail_usage("link", Error("read", "the command line", reason));
}

}  // namespace tapferry
