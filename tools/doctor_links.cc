// SPDX-License-Identifier: MIT
//
// The interfaces that rules name: are they there, are they what they should be, are they up?

#include <cerrno>
#include <set>

#include "net/link.h"
#include "net/ovs.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

Finding bridge_missing(const ListedRule& rule) {
  const std::string name = shell_word(rule.object);
  return {finding::kBridgeMissing, "bridge " + rule.object, "it doesn't exist, and " + rule.label + " is about it",
          as_root("ip link add " + name + " type bridge") + " && " + as_root("ip link set " + name + " up"),
          "until the next boot; /etc/network/interfaces or systemd.netdev(5) make it for good"};
}

void look_at_bridge(Rtnl& rtnl, const ListedRule& rule, Diagnosis* diagnosis) {
  const auto link = get_link(rtnl, rule.object);
  if (!link.is_ok()) {
    if (link.error().code() == ENODEV) diagnosis->findings.push_back(bridge_missing(rule));
    return;
  }
  const std::string object = "bridge " + rule.object;
  if (link.value().kind != "bridge") {
    const std::string kind = link.value().kind.empty() ? "a network card" : "of kind " + link.value().kind;
    diagnosis->findings.push_back({finding::kBridgeNone, "interface " + rule.object,
                                   "it is no bridge but " + kind + ", and " + rule.label + " allows taps on it",
                                   edit_command(rule.file, static_cast<long>(rule.line)),
                                   "name a bridge there, or write macvtap=" + rule.object});
  } else if (!link.value().is_up()) {
    diagnosis->findings.push_back({finding::kBridgeDown, object, "it is down, so no frame crosses it",
                                   as_root("ip link set " + shell_word(rule.object) + " up"), ""});
  }
}

// A bridge has an interface of its name, the local port; that this one is down is how OVN has it.
void look_at_ovs_bridge(Rtnl& rtnl, const ListedRule& rule, Diagnosis* diagnosis) {
  const std::string name(*ovs_bridge(rule.object));
  const auto link = get_link(rtnl, name);
  if (link.is_ok() || link.error().code() != ENODEV) return;
  diagnosis->findings.push_back({finding::kBridgeMissing, "bridge " + rule.object,
                                 "Open vSwitch has none of that name here, and " + rule.label + " is about it",
                                 as_root("ovs-vsctl add-br " + shell_word(name)), "Open vSwitch must be running"});
}

void look_at_parent(Rtnl& rtnl, const ListedRule& rule, Diagnosis* diagnosis) {
  const auto link = get_link(rtnl, rule.object);
  const std::string object = "interface " + rule.object;
  if (!link.is_ok()) {
    if (link.error().code() != ENODEV) return;
    diagnosis->findings.push_back(
        {finding::kParentMissing, object, "it doesn't exist, and " + rule.label + " allows macvtaps on it",
         edit_command(rule.file, static_cast<long>(rule.line)), "name one of those that `ip link' lists"});
  } else if (!link.value().is_up()) {
    diagnosis->findings.push_back({finding::kParentDown, object, "it is down, so no frame crosses a macvtap on it",
                                   as_root("ip link set " + shell_word(rule.object) + " up"), ""});
  }
}

}  // namespace

Status check_links(const Patient& patient, Diagnosis* diagnosis) {
  if (patient.policy == nullptr) return {};
  std::set<std::string> seen;
  for (const ListedRule& rule : patient.policy->rules) {
    if (!is_relevant(patient, rule) || !rule.is_literal()) continue;
    if (!seen.insert(rule.kind + "=" + rule.object).second) continue;
    if (rule.is_about_ovs()) {
      look_at_ovs_bridge(patient.rtnl, rule, diagnosis);
    } else if (rule.kind == "bridge") {
      look_at_bridge(patient.rtnl, rule, diagnosis);
    }
    if (rule.kind == "macvtap") look_at_parent(patient.rtnl, rule, diagnosis);
  }
  return {};
}

}  // namespace tapferry
