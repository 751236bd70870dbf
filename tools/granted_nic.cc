// SPDX-License-Identifier: MIT
#include "tools/granted_nic.h"

#include <optional>

#include "tools/guest_mac.h"

namespace tapferry {

Result<Nic> describe_nic(const GrantedInterface& interface, const Spec& spec) {
  Nic nic;
  nic.ifname = interface.grant.ifname;
  nic.mtu = interface.grant.mtu;
  nic.queues = interface.queues.size();
  const bool is_macvtap = interface.grant.kind == Kind::kMacvtap || interface.grant.kind == Kind::kDevice;
  const std::optional<Mac> own = is_macvtap ? std::optional(interface.grant.mac) : std::nullopt;
  nic.guest_mac = TRY(guest_mac(spec, own));
  return nic;
}

}  // namespace tapferry
