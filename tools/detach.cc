// SPDX-License-Identifier: MIT
//
// `tapferry detach`: takes NICs out of a running VM again, and whatever a broken off `tapferry attach` left in QEMU.

#include <climits>
#include <string>
#include <vector>

#include "base/parse.h"
#include "tools/command.h"
#include "tools/hotplug.h"
#include "tools/options.h"
#include "tools/vm_monitor.h"

namespace tapferry {
namespace {

constexpr unsigned kDefaultTimeoutS = 30;

struct DetachOptions {
  VmChoice vm;
  std::vector<std::string> ids;
  unsigned timeout_s = kDefaultTimeoutS;
};

constexpr CommandHelp kHelp = {
    "ID...",
    "Takes NICs that `tapferry attach' gave to a VM out of it again. Ends when the guest has let\n"
    "go of each, and its interface is gone.",
    "  tapferry detach --qmp=/run/user/1000/vm.qmp tap12\n", true};

Result<DetachOptions> read_options(int argc, char** argv) {
  VmOptions vm;
  g_autofree char* timeout = nullptr;
  g_auto(GStrv) ids = nullptr;
  const GOptionEntry entries[] = {vm.qmp_entry(),
                                  vm.domain_entry(),
                                  vm.connect_entry(),
                                  {"timeout", 't', 0, G_OPTION_ARG_STRING, &timeout,
                                   "how long the guest may take for each (default: 30)", "SECONDS"},
                                  {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &ids, nullptr, nullptr},
                                  {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  DetachOptions options;
  options.vm = TRY(vm.choice());
  options.ids = strings_of(ids);
  if (options.ids.empty()) return Error("read", "the command line", "the NIC's id is missing");
  for (const std::string& id : options.ids) {
    if (!is_device_id(id)) return Error("read", id, "it is no id of a NIC");
  }
  if (timeout != nullptr) {
    const auto seconds = parse_uint(timeout, 1, INT_MAX / 1000);
    if (!seconds) return Error("read", "--timeout=" + std::string(timeout), "not a number of seconds");
    options.timeout_s = *seconds;
  }
  return options;
}

Result<Qmp> connect(const DetachOptions& options) {
  Qmp qmp = TRY(connect_vm(options.vm));
  qmp.set_timeout_ms(kHotplugTimeoutMs);
  return qmp;
}

}  // namespace

int detach_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("detach", options.error());
  auto qmp = connect(options.value());
  if (!qmp.is_ok()) return fail(qmp.error());
  int status = kExitDone;
  for (const std::string& id : options.value().ids) {
    const Status detached = detach_nic(qmp.value(), id, static_cast<int>(options.value().timeout_s * 1000));
    if (!detached.is_ok()) status = fail(detached.error());
  }
  return status;
}

}  // namespace tapferry
