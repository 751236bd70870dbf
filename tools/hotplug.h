// SPDX-License-Identifier: MIT
//
// NICs plugged into a running VM and taken out again, by QMP.
//
// A NIC that was given is the VM's: nothing of ours has to stay, and the interface goes with QEMU's descriptors. Killed in
// the middle, attaching can leave a netdev without a device or descriptors under their names in QEMU; all of them are found
// by the NIC's id, so detach_nic() takes those away as well.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "tools/hotplug_plan.h"
#include "tools/qmp.h"

namespace tapferry {

// For each answer of QEMU's: it may be busy emulating.
inline constexpr int kHotplugTimeoutMs = 20000;

// All of them or none: what was done is undone when a step fails, or when SIGINT or SIGTERM comes. The descriptors stay the
// caller's. The error's line names the NIC.
Status attach_nics(Qmp& qmp, std::span<const HotplugNic> nics);

// Returns when the guest has let go of the device, and QEMU of everything behind it. When the guest hasn't within
// `timeout_ms`, everything stays as it is, and calling it again goes on waiting.
Status detach_nic(Qmp& qmp, const std::string& id, int timeout_ms);

}  // namespace tapferry
