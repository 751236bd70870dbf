// SPDX-License-Identifier: MIT
//
// `tapferry monitor`: follows what becomes of interfaces, prints it line by line, and can pass an interface's state on to the
// link of a guest behind it. This file reads the options; tools/monitor_watch.cc does the work.

#include <climits>

#include "base/parse.h"
#include "tools/command.h"
#include "tools/monitor_watch.h"
#include "tools/options.h"

namespace tapferry {
namespace {

constexpr CommandHelp kHelp = {
    "[IFNAME...]",
    "Prints what the interfaces are, then what becomes of them: up, down, carrier, flags, MTU,\n"
    "MAC and IP addresses, bridge, name, speed, removal. Without IFNAME all of them, also those\n"
    "to come; with it until they are removed.",
    "STATE is up, down, carrier, no-carrier or removed.\n"
    "\n"
    "  tapferry monitor tap0\n"
    "  tapferry monitor --exit-on=carrier --wait tap0\n"
    "  tapferry monitor --qmp=/run/vm.qmp --id=n0 tap0\n",
    true};

Status read_guest_options(const char* qmp, const char* id, MonitorOptions* options) {
  if ((qmp == nullptr) != (id == nullptr)) return Error("read", "the command line", "--qmp and --id go together");
  if (qmp == nullptr) return {};
  if (options->names.size() != 1) return Error("read", "the command line", "--qmp follows exactly one interface");
  options->qmp = qmp;
  options->guest_id = id;
  return {};
}

Result<MonitorOptions> read_options(int argc, char** argv) {
  g_auto(GStrv) names = nullptr;
  g_autofree char* exit_on = nullptr;
  g_autofree char* receive_buffer = nullptr;
  g_autofree char* qmp = nullptr;
  g_autofree char* id = nullptr;
  gboolean json = FALSE;
  gboolean wait = FALSE;
  const GOptionEntry entries[] = {
      {"exit-on", 'x', 0, G_OPTION_ARG_STRING, &exit_on, "end when one has come to one of these states", "STATE,..."},
      {"wait", 'w', 0, G_OPTION_ARG_NONE, &wait, "wait for interfaces that don't exist (any more)", nullptr},
      {"qmp", 'q', 0, G_OPTION_ARG_FILENAME, &qmp, "switch a guest's link as the interface's", "SOCKET"},
      {"id", 'i', 0, G_OPTION_ARG_FILENAME, &id, "the guest's network device (-netdev ...,id=ID)", "ID"},
      {"receive-buffer", 0, 0, G_OPTION_ARG_STRING, &receive_buffer, "of the socket that hears of changes", "BYTES"},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print JSON objects, one a line", nullptr},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, nullptr, nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  MonitorOptions options;
  options.names = strings_of(names);
  options.waits = wait != FALSE;
  options.has_json = json != FALSE;
  if (exit_on != nullptr) options.exit_on = TRY(ExitConditions::parse(exit_on));
  if (receive_buffer != nullptr) {
    const auto bytes = parse_uint(receive_buffer, 1, INT_MAX / 2);
    if (!bytes) return Error("read", "--receive-buffer=" + std::string(receive_buffer), "not a number of bytes");
    options.receive_buffer_bytes = *bytes;
  }
  TRY(read_guest_options(qmp, id, &options));
  return options;
}

}  // namespace

int monitor_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("monitor", options.error());
  const auto status = watch_interfaces(options.value());
  return status.is_ok() ? status.value() : fail(status.error());
}

}  // namespace tapferry
