// SPDX-License-Identifier: MIT
//
// Ports of Open vSwitch whose tap is gone: their keeper was killed, or the host was. A hand-over to Open vSwitch removes those too.

#include <cerrno>
#include <unistd.h>

#include "net/link.h"
#include "net/ovs.h"
#include "net/ovs_vsctl.h"
#include "tools/doctor.h"

namespace tapferry {
namespace {

constexpr int kTimeoutS = 5;

// Only where Open vSwitch is in this network namespace: elsewhere no port has an interface.
Result<bool> is_here(Rtnl& rtnl, const std::string& bridge) {
  const auto local = read_local_port(TRY(run_ovs_vsctl(arguments_to_find_local_port(bridge), kTimeoutS)));
  if (!local) return false;
  const auto link = get_link(rtnl, bridge);
  if (!link.is_ok() && link.error().code() == ENODEV) return false;
  if (!link.is_ok()) return link.error();
  return link.value().index == local->ifindex && link.value().mac == local->mac;
}

Result<bool> is_port_left_behind(Rtnl& rtnl, const OvsPort& port) {
  std::optional<Link> link;
  auto found = get_link(rtnl, port.name);
  if (!found.is_ok() && found.error().code() != ENODEV) return found.error();
  if (found.is_ok()) link = std::move(found).value();
  if (!is_left_behind(port, link)) return false;
  return is_here(rtnl, port.tag.bridge);
}

// By its UUID, which no other port ever has.
Result<std::string> remove_port(const OvsPort& port) {
  TRY(run_ovs_vsctl(arguments_to_remove(port), kTimeoutS));
  return std::string("removed");
}

Finding to_finding(const OvsPort& port) {
  Finding finding;
  finding.object =
      "port " + port.name + " of uid " + std::to_string(port.tag.uid) + " on Open vSwitch's " + port.tag.bridge;
  finding.problem = "its tap is gone, and the process that should have removed it was killed";
  finding.kind = finding::kLeftOvsPort;
  finding.command = kRepairCommand;
  finding.repair = [port] { return remove_port(port); };
  return finding;
}

}  // namespace

Status check_ovs(const Patient& patient, Diagnosis* diagnosis) {
  if (access(kOvsDatabase, F_OK) != 0 || access(kOvsVsctl, X_OK) != 0) return {};
  if (access(kOvsDatabase, W_OK) != 0) {
    diagnosis->notes.emplace_back("what is left in Open vSwitch can't be seen without root");
    return {};
  }
  for (const OvsPort& port : read_ports(TRY(run_ovs_vsctl(arguments_to_list_ports(), kTimeoutS)))) {
    if (TRY(is_port_left_behind(patient.rtnl, port))) diagnosis->findings.push_back(to_finding(port));
  }
  return {};
}

}  // namespace tapferry
