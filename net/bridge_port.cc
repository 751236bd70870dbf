// SPDX-License-Identifier: MIT
#include "net/bridge_port.h"

#include <cerrno>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string>
#include <sys/socket.h>

namespace tapferry {
namespace {

// Each flag and its attribute, which is the same in a request and in an answer.
struct Attribute {
  uint16_t type;
  std::optional<bool> PortFlags::*flag;
  std::string_view name;
};
constexpr Attribute kFlags[] = {{IFLA_BRPORT_LEARNING, &PortFlags::learning, "learning"},
                                {IFLA_BRPORT_LOCKED, &PortFlags::locked, "locked"},
                                {IFLA_BRPORT_GUARD, &PortFlags::bpdu_guard, "bpdu_guard"},
                                {IFLA_BRPORT_ISOLATED, &PortFlags::isolated, "isolated"}};

PortFlags read_flags(const nlattr* data) {
  PortFlags flags;
  for_each_nested(data, [&](const nlattr* attribute) {
    for (const Attribute& known : kFlags) {
      if (mnl_attr_get_type(attribute) == known.type) flags.*known.flag = value_of<uint8_t>(attribute) != 0;
    }
  });
  return flags;
}

// IFLA_INFO_SLAVE_DATA, if what the interface is a slave of is a bridge.
const nlattr* bridge_port_data(const nlattr* link_info) {
  bool is_bridge_port = false;
  const nlattr* data = nullptr;
  for_each_nested(link_info, [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == IFLA_INFO_SLAVE_KIND) is_bridge_port = string_of(attribute) == "bridge";
    if (type == IFLA_INFO_SLAVE_DATA) data = attribute;
  });
  return is_bridge_port ? data : nullptr;
}

}  // namespace

std::optional<PortFlags> parse_port_flags(const nlmsghdr* header) {
  std::optional<PortFlags> flags;
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != IFLA_LINKINFO) return;
    if (const nlattr* data = bridge_port_data(attribute)) flags = read_flags(data);
  });
  return flags;
}

Result<PortFlags> read_port_flags(Rtnl& rtnl, const Link& port) {
  RtnlRequest request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>()->ifi_index = port.index;
  std::optional<PortFlags> flags;
  TRY(rtnl.query(request, "read the bridge port", port.name, [&](const nlmsghdr* answer) {
    flags = parse_port_flags(answer);
    return true;
  }));
  if (!flags) return Error::from_errno("read the bridge port", port.name, ENODEV);
  return *flags;
}

Status set_port_flags(Rtnl& rtnl, const Link& port, const PortFlags& flags) {
  RtnlRequest request(RTM_SETLINK, 0);
  auto* info = request.family_header<ifinfomsg>();
  info->ifi_family = AF_BRIDGE;
  info->ifi_index = port.index;
  nlattr* nest = request.begin_nest(IFLA_PROTINFO);
  for (const Attribute& known : kFlags) {
    const std::optional<bool> wanted = flags.*known.flag;
    if (wanted) request.put_u8(known.type, *wanted ? 1 : 0);
  }
  request.end_nest(nest);
  TRY(rtnl.change(request, "set up bridge port", port.name));
  const PortFlags now = TRY(read_port_flags(rtnl, port));
  for (const Attribute& known : kFlags) {
    const std::optional<bool> wanted = flags.*known.flag;
    if (!wanted || now.*known.flag == wanted) continue;
    return Error::from_errno("set up bridge port", port.name, EOPNOTSUPP)
        .with_reason("this kernel's bridge has no `" + std::string(known.name) + "' for its ports");
  }
  return {};
}

Status add_sticky_entry(Rtnl& rtnl, const Link& port, const Mac& mac) {
  RtnlRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL);
  auto* header = request.family_header<ndmsg>();
  header->ndm_family = AF_BRIDGE;
  header->ndm_ifindex = port.index;
  // What bridge(8) sends for `static`: of these two the bridge asks for NOARP only, and takes REACHABLE along.
  header->ndm_state = NUD_NOARP | NUD_REACHABLE;
  header->ndm_flags = NTF_MASTER | NTF_STICKY;
  request.put_bytes(NDA_LLADDR, mac.bytes.data(), mac.bytes.size());
  return rtnl.change(request, "bind " + to_string(mac) + " to bridge port", port.name);
}

Status lock_port(Rtnl& rtnl, const Link& port, const Link& bridge, const Mac& guest_mac) {
  const std::string action = "lock " + port.name + " to";
  const std::string mac = to_string(guest_mac);
  if (!guest_mac.is_unicast()) return Error("lock " + port.name + " to", mac, "it is no unicast address");
  if (guest_mac == bridge.mac) return Error(action, mac, "it is the address of " + bridge.name + " itself");
  TRY(set_port_flags(rtnl, port, {.learning = false, .locked = true, .bpdu_guard = true, .isolated = std::nullopt}));
  const Status bound = add_sticky_entry(rtnl, port, guest_mac);
  if (bound.is_ok() || bound.error().code() != EEXIST) return bound;
  return Error(action, mac, "another port of " + bridge.name + " has that address, or the bridge itself")
      .with_hint("`bridge fdb show br " + bridge.name + "' shows where; a learned one is forgotten after a while");
}

}  // namespace tapferry
