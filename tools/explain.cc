// SPDX-License-Identifier: MIT
//
// `tapferry explain`: which rule allows or refuses a request, and why the others don't decide. The helper decides, as
// the user in question; this program adds what the host looks like and prints it.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "net/ask.h"
#include "net/link.h"
#include "net/ovs.h"
#include "net/rtnl.h"
#include "tools/command.h"
#include "tools/explanation.h"
#include "tools/options.h"
#include "tools/user.h"

namespace tapferry {
namespace {

struct ExplainOptions {
  AskOptions ask;
  std::optional<std::string> user;
  std::optional<std::string> bridge;  // that the request is about
  bool has_json = false;
};

constexpr CommandHelp kHelp = {
    "",
    "Says which rule of the policy allows or refuses a request, and what became of every other\n"
    "rule. Nothing is handed over. Ends with status 0 if it is allowed, 1 if it is refused.",
    "  tapferry explain --net=bridge=br0,queues=2\n"
    "  sudo tapferry explain --user=alice --net=bridge=br0\n"};

Result<ExplainOptions> read_options(int argc, char** argv) {
  g_autofree char* net = nullptr;
  g_autofree char* br = nullptr;
  g_autofree char* user = nullptr;
  g_autofree char* helper = nullptr;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
      {"net", 'n', 0, G_OPTION_ARG_FILENAME, &net, "the request", "SPEC"},
      {"br", 'b', 0, G_OPTION_ARG_FILENAME, &br, "the request that QEMU makes for BRIDGE", "BRIDGE"},
      {"user", 'u', 0, G_OPTION_ARG_FILENAME, &user, "who asks, by name or uid (root only; default: you)", "USER"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print one JSON object", nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  if ((net != nullptr) == (br != nullptr)) return Error("read", "the command line", "give one of --net and --br");
  ExplainOptions options;
  options.user = string_of(user);
  options.has_json = json != FALSE;
  const std::string path = helper_path(helper);
  if (br != nullptr) {
    options.ask = ask_by_br(path, br);
    options.bridge = br;
    return options;
  }
  options.ask = ask_by_net(path, net);
  const Spec spec = TRY(parse_spec(net));
  if (spec.kind == Kind::kBridge) options.bridge = spec.object;
  return options;
}

Result<int64_t> count_slots(Rtnl& rtnl, const std::string& key) {
  // A set's worth of names: a dump that changed while it ran shows an interface twice.
  std::vector<std::string> slots;
  TRY(for_each_link(rtnl, "", [&](const Link& link) {
    for (const std::string& name : link.altnames) {
      if (name.starts_with(key + ".")) slots.push_back(name);
    }
  }));
  std::sort(slots.begin(), slots.end());
  return std::distance(slots.begin(), std::unique(slots.begin(), slots.end()));
}

std::string bridge_note(Rtnl& rtnl, const std::string& bridge) {
  const auto ovs = ovs_bridge(bridge);
  const auto link = get_link(rtnl, std::string(ovs.value_or(bridge)));
  if (!link.is_ok() && link.error().code() == ENODEV) return bridge + " doesn't exist here";
  if (!link.is_ok()) return link.error().line();
  if (ovs) return "";
  if (link.value().kind != "bridge") return bridge + " is no bridge";
  return link.value().is_up() ? "" : bridge + " is down";
}

// What can't be found out is left out: it decides nothing.
HostNotes look_at_host(const ExplainOptions& options, const Explanation& explanation) {
  HostNotes notes;
  auto rtnl = Rtnl::open();
  if (!rtnl.is_ok()) return notes;
  if (explanation.quota_max) {
    const auto held = count_slots(rtnl.value(), explanation.quota_key);
    if (held.is_ok()) notes.held = held.value();
  }
  if (notes.held && *notes.held >= *explanation.quota_max) {
    notes.notes.emplace_back("the quota is used up: a request is refused until an interface is given back");
  }
  if (options.bridge) {
    const std::string note = bridge_note(rtnl.value(), *options.bridge);
    if (!note.empty()) notes.notes.push_back(note);
  }
  return notes;
}

Result<int> explain(const ExplainOptions& options) {
  // For good, and first: whatever follows needs no privilege, and sees what that user sees.
  if (options.user) TRY(become_user(*options.user));
  const JsonTree root = TRY(parse_explanation(TRY(ask_for_explanation(options.ask))));
  const Explanation explanation = TRY(read_explanation(root.get()));
  const HostNotes notes = look_at_host(options, explanation);
  const std::string text =
      options.has_json ? explanation_json(root.get(), notes) : explanation_text(explanation, notes);
  fputs(text.c_str(), stdout);
  return explanation.is_allowed ? kExitDone : kExitFailed;
}

}  // namespace

int explain_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("explain", options.error());
  const auto status = explain(options.value());
  return status.is_ok() ? status.value() : fail(status.error());
}

}  // namespace tapferry
