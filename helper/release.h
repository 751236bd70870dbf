// SPDX-License-Identifier: MIT
//
// Giving back what was granted with persist=on. No rule is asked: whoever was granted the interface may take it away, also
// when the policy has changed since, and nobody else may.
#pragma once

#include <string>

#include "base/result.h"
#include "helper/privilege.h"
#include "net/link.h"
#include "net/rtnl.h"

namespace tapferry {

// By the tag, which only CAP_NET_ADMIN can change: a tap that is ours, was granted to this uid, and to outlive its holders.
// Who owns it by TUNSETOWNER, or whether it is persistent right now, any holder can change, so neither counts.
bool may_release(const Link& link, uid_t uid);

// The interface of that very name. One error for all others, be they absent or somebody else's.
Result<Link> find_releasable(Rtnl& rtnl, const std::string& name, const Identity& caller);

}  // namespace tapferry
