// SPDX-License-Identifier: MIT
//
// What QEMU has to be told to give a running guest a NIC, step by step, each step with its undo. Pure.
//
// The NIC's id names everything that belongs to it: QEMU's network backend (netdev) and the device in front of it have just
// this id, and the descriptors, which QEMU keeps under names until the netdev takes them, names that begin with it, as has the
// socket of vhost-user (chardev). The backend behind that socket has a supervisor that ends with the last copy of its lifeline:
// QEMU gets the only one that stays, under a name that nothing takes, so it lasts until QEMU ends or is told to close it. So
// whoever knows the id can take all of it away again, whatever step was the last (tools/hotplug.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/compose.h"

namespace tapferry {

struct QmpCommand {
  std::string name;
  std::string arguments;  // a JSON object

  bool operator==(const QmpCommand&) const = default;
};

struct HotplugStep {
  QmpCommand command;
  int fd = -1;  // goes along with the command
  QmpCommand undo;
};

struct HotplugNic {
  std::string id;
  std::string bus;    // empty: QEMU chooses
  Nic nic;            // with a socket: over vhost-user
  int lifeline = -1;  // of the backend behind that socket (tools/backend.h)
  bool has_msix = true;
};

// What QEMU takes for an id: a letter, then letters, digits, '-', '.' and '_' (id_wellformed() in util/id.c); short enough that
// error lines stay readable.
bool is_device_id(std::string_view text);

// Everything up to the netdev; nothing of it concerns the guest.
std::vector<HotplugStep> plan_netdev(const HotplugNic& nic);
// The device itself, which the guest sees. Its undo asks the guest to let go of it, and has to be waited for.
HotplugStep plan_device(const HotplugNic& nic);

// The name of the descriptor number `index` of a kind, "tap" or "vhost".
std::string descriptor_name(const std::string& id, std::string_view kind, size_t index);

std::string lifeline_name(const std::string& id);

QmpCommand close_descriptor(const std::string& name);
QmpCommand delete_netdev(const std::string& id);
QmpCommand delete_chardev(const std::string& id);  // of the NIC of this id
QmpCommand delete_device(const std::string& id);

}  // namespace tapferry
