// SPDX-License-Identifier: MIT
#include "net/link.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace tapferry {
namespace {

// Statistics are the larger part of an answer, and nobody here reads them.
constexpr uint32_t kWithoutStatistics = RTEXT_FILTER_SKIP_STATS;
// A dump that changes each time it is asked is given up after this many; the list is then read as it came.
constexpr int kMaxDumpAttempts = 8;

// 0 for a payload that is too short: the kernel sends none such.
template <typename T>
T number(const nlattr* attribute) {
  T value = 0;
  memcpy(&value, mnl_attr_get_payload(attribute), std::min<size_t>(sizeof value, mnl_attr_get_payload_len(attribute)));
  return value;
}

void read_tun_data(const nlattr* data, Link* link) {
  for_each_nested(data, [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == IFLA_TUN_PERSIST) link->is_persistent_tap = number<uint8_t>(attribute) != 0;
    if (type == IFLA_TUN_OWNER) link->tap_owner = number<uint32_t>(attribute);
  });
}

void read_macvtap_data(const nlattr* data, Link* link) {
  for_each_nested(data, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_MACVLAN_MODE) link->macvlan_mode = number<uint32_t>(attribute);
  });
}

void read_link_info(const nlattr* info, Link* link) {
  const nlattr* data = nullptr;
  for_each_nested(info, [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == IFLA_INFO_KIND) link->kind = string_of(attribute);
    if (type == IFLA_INFO_DATA) data = attribute;
  });
  if (data != nullptr && link->kind == "tun") read_tun_data(data, link);
  if (data != nullptr && link->kind == "macvtap") read_macvtap_data(data, link);
}

void read_altnames(const nlattr* list, Link* link) {
  for_each_nested(list, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_ALT_IFNAME) link->altnames.push_back(string_of(attribute));
  });
}

Result<Link> get_one(Rtnl& rtnl, RtnlRequest& request, const std::string& object) {
  request.put_u32(IFLA_EXT_MASK, kWithoutStatistics);
  std::optional<Link> link;
  TRY(rtnl.query(request, "find interface", object, [&](const nlmsghdr* answer) {
    link = parse_link(answer);
    return true;
  }));
  if (!link) return Error::from_errno("find interface", object, ENODEV);
  return *std::move(link);
}

RtnlRequest list_request(const std::string& kind) {
  RtnlRequest request(RTM_GETLINK, NLM_F_DUMP);
  request.family_header<ifinfomsg>();
  if (!kind.empty()) {
    nlattr* info = request.begin_nest(IFLA_LINKINFO);
    request.put_string(IFLA_INFO_KIND, kind);
    request.end_nest(info);
  }
  return request;
}

RtnlRequest change_of(const Link& link) {
  RtnlRequest request(RTM_SETLINK, 0);
  auto* info = request.family_header<ifinfomsg>();
  info->ifi_index = link.index;
  return request;
}

}  // namespace

bool Link::is_up() const { return (flags & IFF_UP) != 0; }

std::optional<Link> parse_link(const nlmsghdr* header) {
  if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) return std::nullopt;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return std::nullopt;
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  // A bridge tells of its ports by the same types, with few attributes; a port that leaves isn't an interface that goes.
  if (info->ifi_family != AF_UNSPEC) return std::nullopt;
  Link link;
  link.index = info->ifi_index;
  link.flags = info->ifi_flags;
  bool is_whole = true;
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME: link.name = string_of(attribute); break;
      case IFLA_IFALIAS: link.alias = string_of(attribute); break;
      case IFLA_MTU: link.mtu = number<uint32_t>(attribute); break;
      case IFLA_LINK: link.lower = number<int>(attribute); break;
      case IFLA_MASTER: link.master = number<int>(attribute); break;
      case IFLA_CARRIER: link.has_carrier = number<uint8_t>(attribute) != 0; break;
      case IFLA_LINKINFO: read_link_info(attribute, &link); break;
      case IFLA_PROP_LIST: read_altnames(attribute, &link); break;
      // An event of the wireless extensions has this and a name only (net/wireless/wext-core.c).
      case IFLA_WIRELESS: is_whole = false; break;
      case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(attribute) == link.mac.bytes.size()) {
          memcpy(link.mac.bytes.data(), mnl_attr_get_payload(attribute), link.mac.bytes.size());
        }
        break;
      default: break;
    }
  });
  if (!is_whole || link.name.empty()) return std::nullopt;
  return link;
}

Result<Link> get_link(Rtnl& rtnl, const std::string& name) {
  if (name.size() >= IFNAMSIZ) return Error::from_errno("find interface", name, ENODEV);
  RtnlRequest request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>();
  request.put_string(IFLA_IFNAME, name);
  Link link = TRY(get_one(rtnl, request, name));
  if (link.name != name) return Error::from_errno("find interface", name, ENODEV);
  return link;
}

Result<Link> get_link(Rtnl& rtnl, int index) {
  RtnlRequest request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>()->ifi_index = index;
  return get_one(rtnl, request, "number " + std::to_string(index));
}

Status for_each_link(Rtnl& rtnl, const std::string& kind, const std::function<void(const Link&)>& visit) {
  for (int attempt = 1;; ++attempt) {
    RtnlRequest request = list_request(kind);
    request.put_u32(IFLA_EXT_MASK, kWithoutStatistics);
    const Status status = rtnl.query(request, "list", "the interfaces", [&](const nlmsghdr* answer) {
      const auto link = parse_link(answer);
      if (link && (kind.empty() || link->kind == kind)) visit(*link);
      return true;
    });
    if (status.is_ok() || status.error().code() != EINTR || attempt == kMaxDumpAttempts) return status;
  }
}

Status for_some_links(Rtnl rtnl, const std::string& kind, unsigned count,
                      const std::function<void(const Link&)>& visit) {
  // With statistics: any mask makes the kernel size up every interface before it lists the first (rtnl_calcit()).
  RtnlRequest request = list_request(kind);
  return rtnl.query(request, "list", "the interfaces", [&](const nlmsghdr* answer) {
    const auto link = parse_link(answer);
    if (link) visit(*link);
    return --count > 0;
  });
}

Status set_identity(Rtnl& rtnl, const Link& link, const LinkIdentity& identity) {
  const auto ask = [&](bool with_ipv6) {
    RtnlRequest request = change_of(link);
    if (identity.mac) request.put_bytes(IFLA_ADDRESS, identity.mac->bytes.data(), identity.mac->bytes.size());
    if (identity.mtu) request.put_u32(IFLA_MTU, *identity.mtu);
    if (!identity.alias.empty()) request.put_bytes(IFLA_IFALIAS, identity.alias.data(), identity.alias.size());
    if (with_ipv6) {
      nlattr* families = request.begin_nest(IFLA_AF_SPEC);
      nlattr* inet6 = request.begin_nest(AF_INET6);
      request.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
      request.end_nest(inet6);
      request.end_nest(families);
    }
    return rtnl.change(request, "set MAC, MTU and tag of", link.name);
  };
  Status status = ask(identity.without_ipv6_address);
  // A kernel without IPv6, or an MTU below IPv6's 1280: there is nothing to switch off.
  if (!status.is_ok() && identity.without_ipv6_address && status.error().code() == EAFNOSUPPORT) status = ask(false);
  return status;
}

Status add_altname(Rtnl& rtnl, const Link& link, const std::string& altname) {
  RtnlRequest request(RTM_NEWLINKPROP, NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND);
  request.family_header<ifinfomsg>()->ifi_index = link.index;
  nlattr* list = request.begin_nest(IFLA_PROP_LIST);
  request.put_string(IFLA_ALT_IFNAME, altname);
  request.end_nest(list);
  return rtnl.change(request, "add the name " + altname + " to", link.name);
}

Status set_master(Rtnl& rtnl, const Link& link, const Link& master) {
  RtnlRequest request = change_of(link);
  request.put_u32(IFLA_MASTER, static_cast<uint32_t>(master.index));
  return rtnl.change(request, "add " + link.name + " to bridge", master.name);
}

Status set_up(Rtnl& rtnl, const Link& link, bool up) {
  RtnlRequest request(RTM_SETLINK, 0);
  auto* info = request.family_header<ifinfomsg>();
  info->ifi_index = link.index;
  info->ifi_change = IFF_UP;
  info->ifi_flags = up ? IFF_UP : 0;
  return rtnl.change(request, up ? "bring up" : "bring down", link.name);
}

Status delete_link(Rtnl& rtnl, const Link& link) {
  RtnlRequest request(RTM_DELLINK, 0);
  request.family_header<ifinfomsg>()->ifi_index = link.index;
  return rtnl.change(request, "delete", link.name);
}

}  // namespace tapferry
