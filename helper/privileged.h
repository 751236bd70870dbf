// SPDX-License-Identifier: MIT
//
// Everything that happens with CAP_NET_ADMIN effective: a closed set of operations, each of which checks its input again and
// says in privileged.cc why it is safe to do for a stranger. What isn't here can't be done with privilege.
#pragma once

#include <string>
#include <sys/types.h>
#include <variant>

#include "base/result.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/rtnl.h"
#include "net/tc.h"
#include "net/tun.h"

namespace tapferry {

struct CreateTap {
  int fd;
  std::string name;
  TapFlags flags;
};
struct SetIdentity {
  const Link& tap;
  LinkIdentity identity;
};
struct RefuseRouterAdvertisements {
  const Link& tap;
};
struct ClaimAltname {
  const Link& tap;
  std::string altname;
};
struct JoinBridge {
  const Link& tap;
  const Link& bridge;
};
struct IsolatePort {
  const Link& tap;
};
struct LockPort {
  const Link& tap;
  const Link& bridge;
  Mac guest_mac;
};
struct SetTrafficRules {
  const Link& link;
  GuestSide side;
  TrafficRules rules;
};
struct BringUp {
  const Link& tap;
};
struct BringDown {
  const Link& tap;
};
struct DeleteAbandonedTap {
  const Link& tap;
};
struct DeleteReleased {
  const Link& tap;
  uid_t uid;  // of the caller
};
struct BringUpGranted {
  const Link& tap;
  uid_t uid;  // of the caller
};

using Operation =
    std::variant<CreateTap, SetIdentity, RefuseRouterAdvertisements, ClaimAltname, JoinBridge, IsolatePort, LockPort,
                 SetTrafficRules, BringUp, BringDown, DeleteAbandonedTap, DeleteReleased, BringUpGranted>;

// `rtnl` was opened at stage 1, since the kernel wants the capability of its opener too (net/rtnl.h).
// Raises CAP_NET_ADMIN, does the one thing, lowers it. The value is the name that CreateTap got, else empty.
Result<std::string> perform(Rtnl& rtnl, const Operation& operation);

}  // namespace tapferry
