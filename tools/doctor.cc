// SPDX-License-Identifier: MIT
//
// `tapferry doctor`: what is wrong here, and the command that mends it; with --repair it removes what was left behind.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <pwd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "net/ask.h"
#include "tools/command.h"
#include "tools/doctor.h"
#include "tools/doctor_privilege.h"
#include "tools/doctor_report.h"
#include "tools/options.h"
#include "tools/user.h"

namespace tapferry {
namespace {

enum class Subject { kHost, kLeftBehind };

struct Check {
  const char* name;
  Subject subject;
  Status (*look)(const Patient&, Diagnosis*);
};

// In the order in which one would mend them.
constexpr Check kChecks[] = {
    {"helper", Subject::kHost, check_helper},  // what keeps VMs from interfaces
    {"privilege", Subject::kHost, check_privilege},
    {"policy", Subject::kHost, check_policy},
    {"links", Subject::kHost, check_links},
    {"netfilter", Subject::kHost, check_netfilter},
    {"devices", Subject::kHost, check_tun},
    {"kernel", Subject::kHost, check_kernel},
    {"io_uring", Subject::kHost, check_engine},
    {"libvirt", Subject::kHost, check_libvirt},
    {"apparmor", Subject::kHost, check_apparmor},
    {"macvtaps", Subject::kLeftBehind, check_macvtaps},  // what was left behind
    {"taps", Subject::kLeftBehind, check_taps},
    {"ovs", Subject::kLeftBehind, check_ovs},
    {"nodes", Subject::kLeftBehind, check_nodes},
};

struct DoctorOptions {
  bool is_repair = false;
  bool has_json = false;
  std::string helper;
  std::optional<std::string> user;
  std::vector<Check> checks;
};

constexpr CommandHelp kHelp = {
    "",
    "Looks for what keeps VMs from getting their interfaces here: the helper and its privilege, the\n"
    "policy, bridges, devices, the kernel, libvirt; and for what was left behind in this network\n"
    "namespace. Each finding comes with the command that mends it. Ends with status 0 if there is\n"
    "no problem, 1 if there is one.",
    "  tapferry doctor\n"
    "  sudo tapferry doctor --user=alice\n"
    "  sudo tapferry doctor --repair\n"};

// "CHECK is helper, privilege, ... or nodes.", in lines as long as the others of the help.
std::string checks_in_words() {
  constexpr size_t kColumns = 95;
  std::string text;
  std::string line = "CHECK is";
  for (size_t i = 0; i < std::size(kChecks); ++i) {
    const bool is_last = i + 1 == std::size(kChecks);
    const std::string word = std::string(is_last ? "or " : "") + kChecks[i].name +
                             (is_last                      ? "."
                              : i + 2 < std::size(kChecks) ? ","
                                                           : "");
    if (line.size() + 1 + word.size() > kColumns) {
      text += line + "\n";
      line = word;
    } else {
      line += " " + word;
    }
  }
  return text + line + "\n";
}

Result<std::vector<Check>> choose_checks(const char* names, bool is_repair) {
  std::vector<Check> checks;
  if (names == nullptr) {
    for (const Check& check : kChecks) {
      if (!is_repair || check.subject == Subject::kLeftBehind) checks.push_back(check);
    }
    return checks;
  }
  for (const std::string_view name : split(names, ',')) {
    const auto* found =
        std::find_if(std::begin(kChecks), std::end(kChecks), [&](const Check& c) { return name == c.name; });
    if (found == std::end(kChecks)) {
      std::string all;
      for (const Check& check : kChecks) all += (all.empty() ? "" : ", ") + std::string(check.name);
      return Error("read", "--check=" + std::string(names), "`" + std::string(name) + "' is no check")
          .with_hint("there are: " + all);
    }
    checks.push_back(*found);
  }
  return checks;
}

Result<DoctorOptions> read_options(int argc, char** argv) {
  gboolean repair = FALSE;
  gboolean json = FALSE;
  g_autofree char* user = nullptr;
  g_autofree char* helper = nullptr;
  g_autofree char* checks = nullptr;
  const GOptionEntry entries[] = {
      {"user", 'u', 0, G_OPTION_ARG_FILENAME, &user, "for whom, by name or uid (root only; default: you)", "USER"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the helper to look at (default: tapferry-helper)", "PATH"},
      {"check", 'c', 0, G_OPTION_ARG_FILENAME, &checks, "look at these only (default: all)", "CHECK,..."},
      {"repair", 'r', 0, G_OPTION_ARG_NONE, &repair,
       "remove what was left behind, and look at nothing else (root only)", nullptr},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print one JSON object", nullptr},
      {}};
  const std::string description = checks_in_words() + "\n" + kHelp.description;
  CommandHelp help = kHelp;
  help.description = description.c_str();
  TRY(parse_options(help, entries, argc, argv));
  if (repair && user != nullptr)
    return Error("read", "the command line", "--repair is for all users; leave out --user");
  DoctorOptions options;
  options.is_repair = repair != FALSE;
  options.has_json = json != FALSE;
  options.user = string_of(user);
  options.helper = helper_path(helper);
  options.checks = TRY(choose_checks(checks, options.is_repair));
  return options;
}

void repair(Report* report) {
  for (Outcome& outcome : report->outcomes) {
    if (!outcome.finding.repair) continue;
    auto result = outcome.finding.repair();
    if (result.is_ok()) {
      outcome.done = std::move(result).value();
      continue;
    }
    outcome.error = std::move(result).error();
    const bool is_in_use = outcome.error->code() == EBUSY;
    if (outcome.finding.is_suspicion && !is_in_use) {
      report->notes.push_back(outcome.finding.object + ": whether it is in use is unknown: " + outcome.error->line());
    }
  }
  std::erase_if(report->outcomes, [](const Outcome& o) { return o.finding.is_suspicion && o.error; });
}

// For good: what follows sees what that user sees, his own files too.
Status look_as(const std::string& user) {
  TRY(become_user(user));
  const passwd* entry = getpwuid(getuid());
  if (entry != nullptr) setenv("HOME", entry->pw_dir, 1);
  unsetenv("XDG_CONFIG_HOME");
  return {};
}

// In a user namespace the policy's files don't seem to be root's, and that isn't what is wrong.
Result<PolicyView> ask_for_policy(const std::string& helper) {
  if (is_in_user_namespace()) return Error("read", "the policy", "not in a user namespace");
  const std::string json = TRY(ask_for_rules(helper));
  return read_rules(json);
}

Report look(const DoctorOptions& options, Rtnl& rtnl) {
  const bool needs_policy = std::any_of(options.checks.begin(), options.checks.end(),
                                        [](const Check& check) { return check.subject == Subject::kHost; });
  const Result<PolicyView> policy = needs_policy ? ask_for_policy(options.helper) : Result<PolicyView>(PolicyView());
  Patient patient = {rtnl, options.is_repair, options.helper};
  if (policy.is_ok()) {
    patient.policy = &policy.value();
  } else if (!is_in_user_namespace()) {
    patient.helper_error = policy.error();
  }
  patient.is_administrator = geteuid() == 0 && !options.user;
  Report report;
  for (const Check& check : options.checks) {
    Diagnosis diagnosis;
    const Status looked = check.look(patient, &diagnosis);
    if (!looked.is_ok()) report.errors.push_back(looked.error());
    report.looked_at.emplace_back(check.name);
    for (Finding& finding : diagnosis.findings) report.outcomes.push_back({check.name, std::move(finding), {}, {}});
    for (std::string& note : diagnosis.notes) report.notes.push_back(std::move(note));
  }
  return report;
}

Result<int> examine(const DoctorOptions& options) {
  if (options.is_repair && !has_net_admin()) {
    return Error::from_errno("repair", "this network namespace", EPERM)
        .with_hint("it needs CAP_NET_ADMIN: run it as root");
  }
  if (options.user) TRY(look_as(*options.user));
  Rtnl rtnl = TRY(Rtnl::open());
  Report report = look(options, rtnl);
  if (options.is_repair) repair(&report);
  fputs((options.has_json ? report_json(report) : report_text(report)).c_str(), stdout);
  fflush(stdout);
  for (const Error& error : report.errors) log_error(kProgram, error);
  return report.is_well() ? kExitDone : kExitFailed;
}

}  // namespace

int doctor_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("doctor", options.error());
  const auto status = examine(options.value());
  return status.is_ok() ? status.value() : fail(status.error());
}

}  // namespace tapferry
