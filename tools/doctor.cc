// SPDX-License-Identifier: MIT
//
// `tapferry doctor`: what is wrong here, what mends it, and with --repair mends it.

#include <cerrno>
#include <cstdio>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/command.h"
#include "tools/doctor.h"
#include "tools/doctor_report.h"
#include "tools/options.h"

namespace tapferry {
namespace {

constexpr struct {
  const char* name;
  Status (*look)(const Patient&, Diagnosis*);
} kChecks[] = {
    {"macvtaps", check_macvtaps},
    {"taps", check_taps},
    {"nodes", check_nodes},
};

struct DoctorOptions {
  bool is_repair = false;
  bool has_json = false;
};

constexpr CommandHelp kHelp = {
    "",
    "Looks for what was left behind in this network namespace: macvtaps whose warden was killed,\n"
    "taps that their holders made persistent, device nodes. Ends with status 0 if nothing is wrong\n"
    "or is any more, 1 if something is.",
    "  tapferry doctor\n"
    "  sudo tapferry doctor --repair\n"};

Result<DoctorOptions> read_options(int argc, char** argv) {
  gboolean repair = FALSE;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
      {"repair", 'r', 0, G_OPTION_ARG_NONE, &repair, "mend what can be mended (root only)", nullptr},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print one JSON object", nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  DoctorOptions options;
  options.is_repair = repair != FALSE;
  options.has_json = json != FALSE;
  return options;
}

bool has_net_admin() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
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

Result<int> examine(const DoctorOptions& options) {
  if (options.is_repair && !has_net_admin()) {
    return Error::from_errno("repair", "this network namespace", EPERM)
        .with_hint("it needs CAP_NET_ADMIN: run it as root");
  }
  Rtnl rtnl = TRY(Rtnl::open());
  const Patient patient = {rtnl, options.is_repair};
  Report report;
  for (const auto& check : kChecks) {
    Diagnosis diagnosis;
    const Status looked = check.look(patient, &diagnosis);
    if (!looked.is_ok()) report.errors.push_back(looked.error());
    for (Finding& finding : diagnosis.findings) report.outcomes.push_back({check.name, std::move(finding), {}, {}});
    for (std::string& note : diagnosis.notes) report.notes.push_back(std::move(note));
  }
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
