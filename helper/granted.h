// SPDX-License-Identifier: MIT
//
// What a user may do with an interface that he was granted: give it back if it was granted with persist=on, and bring it up if it
// was granted with up=off. No rule is asked: the interface is his, also when the policy has changed since, and nobody else's.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "helper/privilege.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// By the tag, which only CAP_NET_ADMIN can change: a tap or macvtap that is ours, was granted to this uid, and to outlive its holders.
// Who owns it by TUNSETOWNER, or whether it is persistent right now, any holder can change, so neither counts.
bool may_release(const Link& link, uid_t uid);

// By the tag: a tap or macvtap of ours that was granted to this uid, by a rule that doesn't keep it down.
bool may_bring_up(const Link& link, uid_t uid);

// The interface of that very name. One error for all others, be they absent or somebody else's.
Result<Link> find_releasable(Rtnl& rtnl, const std::string& name, const Identity& caller);
Result<Link> find_to_bring_up(Rtnl& rtnl, const std::string& name, const Identity& caller);

}  // namespace tapferry
