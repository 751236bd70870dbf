// SPDX-License-Identifier: MIT
#include "helper/ovs_port.h"

#include <algorithm>
#include <cerrno>

#include "net/link.h"
#include "net/ovs_vsctl.h"
#include "net/tag.h"

namespace tapferry {
namespace {

// For each question. All of them together take less than the front waits (helper/maker.cc).
constexpr int kTimeoutS = 4;

Result<std::string> ask(const std::vector<std::string>& arguments) { return run_ovs_vsctl(arguments, kTimeoutS); }

// Open vSwitch knows interfaces by their names, and looks for them in its own network namespace. If the bridge's own interface
// isn't the one that we see, a name of ours would be somebody else's interface there.
Status check_namespace(Rtnl& rtnl, const std::string& bridge) {
  const Link link = TRY(get_link(rtnl, bridge));
  const auto local = read_local_port(TRY(ask(arguments_to_find_local_port(bridge))));
  if (!local) return Error::from_errno("find", "Open vSwitch's bridge " + bridge, ENODEV);
  if (local->ifindex == link.index && local->mac == link.mac) return {};
  return Error("find", "Open vSwitch's bridge " + bridge, "it is in another network namespace");
}

// Ports whose interface is gone: of a name that was used again at once, or of a keeper that was killed.
Result<std::vector<OvsPort>> find_left_behind(Rtnl& rtnl) {
  std::vector<OvsPort> ports = read_ports(TRY(ask(arguments_to_list_ports())));
  std::vector<OvsPort> left_behind;
  for (OvsPort& port : ports) {
    std::optional<Link> link;
    Result<Link> found = get_link(rtnl, port.name);
    if (!found.is_ok() && found.error().code() != ENODEV) return found.error();
    if (found.is_ok()) link = std::move(found).value();
    if (is_left_behind(port, link)) left_behind.push_back(std::move(port));
  }
  return left_behind;
}

// OVN binds a logical port to one interface of a host; a second one would take it from the first.
Status check_iface_id(const std::string& iface_id, const std::vector<OvsPort>& left_behind) {
  const std::string output = TRY(ask(arguments_to_find_iface_id(iface_id)));
  for (const std::string& name : read_names(output)) {
    const bool is_going =
        std::any_of(left_behind.begin(), left_behind.end(), [&](const OvsPort& port) { return port.name == name; });
    if (!is_going) return Error("use", "iface_id=" + iface_id, "another port of this host has it");
  }
  return {};
}

// What ovs-vswitchd says of the interface, where that is more than that it took too long.
Error why_not_up(const std::string& name, Error error) {
  const Result<std::string> said = ask(arguments_to_get_error(name));
  if (!said.is_ok() || said.value().size() < 3 || said.value()[0] != '"') return error;
  return Error(error.action(), error.object(), said.value().substr(1, said.value().find('"', 1) - 1));
}

}  // namespace

Result<NewOvsPort> plan_ovs_port(Rtnl& rtnl, const Spec& spec, int ifindex, uid_t uid) {
  const Link tap = TRY(get_link(rtnl, ifindex));
  const auto bridge = ovs_bridge(spec.object);
  const auto tag = parse_tag(tap.alias);
  const bool is_for_this = tap.kind == "tun" && tag && tag->uid == uid && tag->upper == spec.object;
  if (spec.kind != Kind::kBridge || !bridge || !is_for_this || !is_ovs_interface_name(tap.name)) {
    return Error::from_errno("add to Open vSwitch", tap.name, EPERM);
  }
  return NewOvsPort{tap.name, {std::string(*bridge), tap.index, tag->since, tag->uid}, spec.iface_id};
}

Status add_ovs_port(Rtnl& rtnl, const NewOvsPort& port) {
  TRY(check_namespace(rtnl, port.tag.bridge));
  const std::vector<OvsPort> left_behind = TRY(find_left_behind(rtnl));
  if (port.iface_id) TRY(check_iface_id(*port.iface_id, left_behind));
  TRY(ask(arguments_to_add(port, left_behind)));
  const Result<std::string> is_up = ask(arguments_to_wait_for(port.name, port.tag.ifindex));
  if (!is_up.is_ok()) return why_not_up(port.name, is_up.error());
  return {};
}

Status remove_ovs_port(const NewOvsPort& port) {
  for (const OvsPort& one : read_ports(TRY(ask(arguments_to_list_ports())))) {
    if (one.name == port.name && one.tag == port.tag) TRY(ask(arguments_to_remove(one)));
  }
  return {};
}

}  // namespace tapferry
