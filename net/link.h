// SPDX-License-Identifier: MIT
//
// An interface as rtnetlink shows it, and the changes made to one. Changes need CAP_NET_ADMIN, reading needs nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/mac.h"
#include "net/rtnl.h"

namespace tapferry {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // IFLA_INFO_KIND: "bridge", "tun", ...; empty for hardware
  Mac mac;
  unsigned mtu = 0;    // bytes
  unsigned flags = 0;  // IFF_* of <linux/if.h>
  int master = 0;      // index of the bridge it is a port of, 0: none
  int lower = 0;       // IFLA_LINK: index of what a macvtap is on top of, 0: none
  bool has_carrier = false;
  bool is_persistent_tap = false;     // IFLA_TUN_PERSIST
  std::optional<uint32_t> tap_owner;  // IFLA_TUN_OWNER
  unsigned macvlan_mode = 0;          // IFLA_MACVLAN_MODE of a macvtap: MACVLAN_MODE_*
  std::string alias;
  std::vector<std::string> altnames;

  bool is_up() const;
};

// Of an RTM_NEWLINK or RTM_DELLINK that is about an interface as such; nothing for another type, or a malformed message.
std::optional<Link> parse_link(const nlmsghdr* header);

// The error's code is ENODEV when there is none. A name is compared with the interface's own: the kernel looks altnames up
// too, and an altname must not stand for the interface that a policy names.
Result<Link> get_link(Rtnl& rtnl, const std::string& name);
Result<Link> get_link(Rtnl& rtnl, int index);

// Calls `visit` for every interface of `kind`, or for all if it is empty. Asked again by itself when the list changed
// meanwhile, so `visit` may see an interface twice.
Status for_each_link(Rtnl& rtnl, const std::string& kind, const std::function<void(const Link&)>& visit);

// The same for the first `count` of them, oldest first, at a cost that doesn't grow with how many there are. `rtnl` is used up.
Status for_some_links(Rtnl rtnl, const std::string& kind, unsigned count,
                      const std::function<void(const Link&)>& visit);

struct LinkIdentity {
  std::optional<Mac> mac;
  std::optional<unsigned> mtu;  // bytes
  std::string alias;
  bool without_ipv6_address = false;  // addr_gen_mode none (IFLA_INET6_ADDR_GEN_MODE)
};

// All of it in one message, in this order: MAC, MTU, alias, address generation.
Status set_identity(Rtnl& rtnl, const Link& link, const LinkIdentity& identity);

// EEXIST: another interface of this namespace has the name; the kernel decides, so this is also how a place is claimed.
Status add_altname(Rtnl& rtnl, const Link& link, const std::string& altname);

Status set_master(Rtnl& rtnl, const Link& link, const Link& master);
Status set_up(Rtnl& rtnl, const Link& link, bool up);
Status delete_link(Rtnl& rtnl, const Link& link);

}  // namespace tapferry
