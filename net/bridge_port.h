// SPDX-License-Identifier: MIT
//
// What a bridge lets one of its ports do (bridge(8)): flags of the port, and entries of the bridge's forwarding database.
// Both want the interface to be a port already, and belong before it is brought up. Changes need CAP_NET_ADMIN.
#pragma once

#include <optional>

#include "base/result.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/rtnl.h"

namespace tapferry {

// Unset: as it is.
struct PortFlags {
  std::optional<bool> learning;    // takes sources of frames into the forwarding database
  std::optional<bool> locked;      // lets only sources pass that have an entry here (kernel 5.16)
  std::optional<bool> bpdu_guard;  // goes off when a spanning tree frame comes in
  std::optional<bool> isolated;    // exchanges no frame with another isolated port

  bool operator==(const PortFlags&) const = default;
};

// Sets them in one message and reads them back, as an older kernel passes over a flag that it doesn't know without a word:
// EOPNOTSUPP then.
Status set_port_flags(Rtnl& rtnl, const Link& port, const PortFlags& flags);

// Of an RTM_NEWLINK; nothing if the interface is no port of a bridge.
std::optional<PortFlags> parse_port_flags(const nlmsghdr* header);

// ENODEV: the interface is no port of a bridge.
Result<PortFlags> read_port_flags(Rtnl& rtnl, const Link& port);

// `mac` is behind `port` for good, whoever else sends from it (`static sticky`): in VLAN 0 and in those that the port is in.
// EEXIST: the bridge has an entry for it, its own address included.
Status add_sticky_entry(Rtnl& rtnl, const Link& port, const Mac& mac);

// The port's part of lock=on: learning off, locked, BPDU guard, and a sticky entry for `guest_mac`, the only source that
// passes from then on. Without learning=off one LLDP frame would teach the port a source; without sticky another port
// could take the entry away. `bridge` is the port's.
Status lock_port(Rtnl& rtnl, const Link& port, const Link& bridge, const Mac& guest_mac);

}  // namespace tapferry
