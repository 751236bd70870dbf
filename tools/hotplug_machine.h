// SPDX-License-Identifier: MIT
//
// What a running VM has that matters for plugging in a NIC, read from QEMU's object tree (qom-list, qom-get).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/qmp.h"

namespace tapferry {

// The buses of the PCIe root and downstream ports that are free and take a device while the machine runs. Those that
// libvirt would use last come first. None on a machine whose PCI bus itself takes devices.
Result<std::vector<std::string>> free_ports(Qmp& qmp);

// Whether a device has this id (-device ...,id=ID).
Result<bool> has_device(Qmp& qmp, const std::string& id);

// The device in front of a netdev, by its path in the object tree; empty when there is none.
Result<std::string> device_of_netdev(Qmp& qmp, const std::string& netdev);

// Whether another process can be given the guest's memory, as vhost-user has to.
Result<bool> has_shared_memory(Qmp& qmp);

// Whether the guest runs on KVM, not emulated.
Result<bool> has_kvm(Qmp& qmp);

// The path of the device with this id.
std::string path_of_device(const std::string& id);

}  // namespace tapferry
