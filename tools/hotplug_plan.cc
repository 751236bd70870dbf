// SPDX-License-Identifier: MIT
#include "tools/hotplug_plan.h"

#include <algorithm>

#include "tools/json.h"

namespace tapferry {
namespace {

constexpr size_t kMaxIdBytes = 64;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

QmpCommand with_text(const char* command, const char* key, const std::string& value) {
  JsonWriter arguments;
  arguments.text(key, value);
  return {command, arguments.take_line()};
}

// A step for each descriptor; their names, with colons between as netdev_add wants them.
std::string pass_all(const std::string& id, std::string_view kind, const std::vector<int>& fds,
                     std::vector<HotplugStep>* steps) {
  std::string names;
  for (size_t i = 0; i < fds.size(); ++i) {
    const std::string name = descriptor_name(id, kind, i);
    steps->push_back({with_text("getfd", "fdname", name), fds[i], close_descriptor(name)});
    names += (i == 0 ? "" : ":") + name;
  }
  return names;
}

std::string chardev_name(const std::string& id) { return id + "-socket"; }

std::string socket_chardev(const HotplugNic& nic, bool reconnects) {
  JsonWriter arguments;
  arguments.text("id", chardev_name(nic.id));
  arguments.begin_object("backend");
  arguments.text("type", "socket");
  arguments.begin_object("data");
  arguments.begin_object("addr");
  arguments.text("type", "unix");
  arguments.begin_object("data");
  arguments.text("path", nic.nic.socket);
  arguments.end_object();
  arguments.end_object();
  arguments.boolean("server", false);
  // It tries again each second when its backend is gone, and the supervisor has a new one there.
  if (reconnects) arguments.number("reconnect", 1);
  arguments.end_object();
  arguments.end_object();
  return arguments.take_line();
}

std::vector<HotplugStep> plan_vhost_user(const HotplugNic& nic) {
  const std::string lifeline = lifeline_name(nic.id);
  JsonWriter netdev;
  netdev.text("type", "vhost-user");
  netdev.text("id", nic.id);
  netdev.text("chardev", chardev_name(nic.id));
  netdev.number("queues", static_cast<int64_t>(nic.nic.queues));
  const QmpCommand remove = delete_chardev(nic.id);
  // First without trying again, to see whether QEMU can reach the socket: a netdev waits for a chardev that tries again, with the
  // whole VM, until it has a connection (net_vhost_user_init() in net/vhost-user.c).
  return {{with_text("getfd", "fdname", lifeline), nic.lifeline, close_descriptor(lifeline)},
          {{"chardev-add", socket_chardev(nic, false)}, -1, remove},
          {remove, -1, remove},
          {{"chardev-add", socket_chardev(nic, true)}, -1, remove},
          {{"netdev_add", netdev.take_line()}, -1, delete_netdev(nic.id)}};
}

}  // namespace

bool is_device_id(std::string_view text) {
  if (text.empty() || text.size() > kMaxIdBytes || !is_letter(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; });
}

std::string descriptor_name(const std::string& id, std::string_view kind, size_t index) {
  return id + "-" + std::string(kind) + std::to_string(index);
}

std::string lifeline_name(const std::string& id) { return id + "-lifeline"; }

QmpCommand close_descriptor(const std::string& name) { return with_text("closefd", "fdname", name); }
QmpCommand delete_netdev(const std::string& id) { return with_text("netdev_del", "id", id); }
QmpCommand delete_chardev(const std::string& id) { return with_text("chardev-remove", "id", chardev_name(id)); }
QmpCommand delete_device(const std::string& id) { return with_text("device_del", "id", id); }

std::vector<HotplugStep> plan_netdev(const HotplugNic& nic) {
  if (!nic.nic.socket.empty()) return plan_vhost_user(nic);
  std::vector<HotplugStep> steps;
  const bool is_multi_queue = nic.nic.fds.size() > 1;
  const std::string taps = pass_all(nic.id, "tap", nic.nic.fds, &steps);
  const std::string vhosts = pass_all(nic.id, "vhost", nic.nic.vhost_fds, &steps);
  JsonWriter arguments;
  arguments.text("type", "tap");
  arguments.text("id", nic.id);
  arguments.text(is_multi_queue ? "fds" : "fd", taps);
  // Said in any case: with descriptors of tun alone QEMU would try to open vhost-net by itself if that were its default.
  arguments.boolean("vhost", !vhosts.empty());
  if (!vhosts.empty()) arguments.text(is_multi_queue ? "vhostfds" : "vhostfd", vhosts);
  steps.push_back({{"netdev_add", arguments.take_line()}, -1, delete_netdev(nic.id)});
  return steps;
}

HotplugStep plan_device(const HotplugNic& nic) {
  const size_t queues = nic.nic.queues;
  JsonWriter arguments;
  arguments.text("driver", "virtio-net-pci");
  arguments.text("id", nic.id);
  arguments.text("netdev", nic.id);
  if (!nic.bus.empty()) arguments.text("bus", nic.bus);
  arguments.text("mac", to_string(nic.nic.guest_mac));
  arguments.text("romfile", "");  // nobody boots from it
  if (queues > 1) arguments.boolean("mq", true);
  // One for each direction of each queue, one for the configuration, one for the control queue.
  if (queues > 1 || !nic.has_msix) arguments.number("vectors", nic.has_msix ? static_cast<int64_t>(2 * queues + 2) : 0);
  // virtio-net's own default; QEMU offers the feature only when it is told.
  if (nic.nic.mtu != 1500) arguments.number("host_mtu", nic.nic.mtu);
  return {{"device_add", arguments.take_line()}, -1, delete_device(nic.id)};
}

}  // namespace tapferry
