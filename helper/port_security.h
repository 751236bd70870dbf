// SPDX-License-Identifier: MIT
//
// What keeps guests apart and within bounds, from the keys of a decided request: lock=, guest_mac=, isolated=, rate_to=,
// rate_from= and filter=. net/bridge_port.h and net/tc.h do it; here is which of it a request comes to, and when.
#pragma once

#include <optional>

#include "base/result.h"
#include "net/link.h"
#include "net/rtnl.h"
#include "net/spec.h"
#include "net/tc.h"

namespace tapferry {

// What these keys can't mean, alone or together, as the policy completed them: a lock without an address or the other way
// round, a rate that is too low to be held.
Status check_port_security(const Spec& spec);

// filter=auto comes out as a filter that nothing passes: whoever follows the addresses opens it.
TrafficRules traffic_rules_of(const Spec& spec);
GuestSide guest_side_of(Kind kind);

// How an interface that was there before was found.
struct TrafficBefore {
  Link link;
  TrafficRules rules;
};

// isolated= and lock= of a new tap that is a port of `bridge` and not up yet.
Status secure_port(Rtnl& rtnl, const Link& tap, const Link& bridge, const Spec& spec);

// Makes the interface's rates and filters those of the request. An interface that was there before may have some from an
// earlier hand-over: then `before` gets them, for whoever has to undo this.
Status limit_traffic(Rtnl& rtnl, const Link& link, bool is_existing, const Spec& spec,
                     std::optional<TrafficBefore>* before);

}  // namespace tapferry
