// SPDX-License-Identifier: MIT
//
// A tap's port of Open vSwitch: how it is added, step by step, and how it is removed again. All of it is asked of ovs-vsctl
// (net/ovs_vsctl.h), and what can be looked at first is looked at in the kernel.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "net/ovs.h"
#include "net/rtnl.h"
#include "net/spec.h"

namespace tapferry {

// The port that `spec` asks for, for the tap of this index, which must be `uid`'s by its tag and made for that very bridge.
Result<NewOvsPort> plan_ovs_port(Rtnl& rtnl, const Spec& spec, int ifindex, uid_t uid);

// Returns when frames can cross. After an error the port may be there: remove_ovs_port() then. ENODEV: Open vSwitch has no such
// bridge here.
Status add_ovs_port(Rtnl& rtnl, const NewOvsPort& port);

// This port and none that got its name since. That it isn't there is no error.
Status remove_ovs_port(const NewOvsPort& port);

}  // namespace tapferry
