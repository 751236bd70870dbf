// SPDX-License-Identifier: MIT
//
// What QEMU is told for a NIC, and how it is undone.
#include "tools/hotplug_plan.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

HotplugNic a_nic() {
  HotplugNic nic;
  nic.id = "tap12";
  nic.nic.ifname = "tap12";
  nic.nic.guest_mac = parse_mac("52:54:00:00:00:01").value();
  nic.nic.fds = {7};
  return nic;
}

std::vector<std::string> words(const std::vector<HotplugStep>& steps) {
  std::vector<std::string> lines;
  for (const HotplugStep& step : steps) {
    lines.push_back(step.command.name + " " + step.command.arguments);
    lines.back().pop_back();
    if (step.fd >= 0) lines.back() += " +" + std::to_string(step.fd);
  }
  return lines;
}

std::vector<std::string> undo_words(const std::vector<HotplugStep>& steps) {
  std::vector<std::string> lines;
  for (const HotplugStep& step : steps) {
    lines.push_back(step.undo.name + " " + step.undo.arguments);
    lines.back().pop_back();
  }
  return lines;
}

TEST(HotplugPlan, OneQueueIsADescriptorAndANetdev) {
  const auto steps = plan_netdev(a_nic());
  EXPECT_EQ(words(steps),
            (std::vector<std::string>{R"(getfd {"fdname":"tap12-tap0"} +7)",
                                      R"(netdev_add {"type":"tap","id":"tap12","fd":"tap12-tap0","vhost":false})"}));
  EXPECT_EQ(undo_words(steps),
            (std::vector<std::string>{R"(closefd {"fdname":"tap12-tap0"})", R"(netdev_del {"id":"tap12"})"}));
}

TEST(HotplugPlan, SeveralQueuesWithVhostNetAreJoinedInTheirOrder) {
  HotplugNic nic = a_nic();
  nic.nic.fds = {7, 8};
  nic.nic.vhost_fds = {9, 10};
  nic.nic.queues = 2;
  const auto steps = plan_netdev(nic);
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(words(steps)[2], R"(getfd {"fdname":"tap12-vhost0"} +9)");
  EXPECT_EQ(words(steps)[4], R"(netdev_add {"type":"tap","id":"tap12","fds":"tap12-tap0:tap12-tap1","vhost":true,)"
                             R"("vhostfds":"tap12-vhost0:tap12-vhost1"})");
}

TEST(HotplugPlan, TheDeviceHasTheNetdevsId) {
  const HotplugStep step = plan_device(a_nic());
  EXPECT_EQ(words({step})[0],
            R"(device_add {"driver":"virtio-net-pci","id":"tap12","netdev":"tap12","mac":"52:54:00:00:00:01",)"
            R"("romfile":""})");
  EXPECT_EQ(step.undo, delete_device("tap12"));
}

TEST(HotplugPlan, TheDeviceHasBusQueuesAndMtu) {
  HotplugNic nic = a_nic();
  nic.bus = "rp1";
  nic.nic.queues = 4;
  nic.nic.mtu = 9000;
  EXPECT_EQ(words({plan_device(nic)})[0],
            R"(device_add {"driver":"virtio-net-pci","id":"tap12","netdev":"tap12","bus":"rp1",)"
            R"("mac":"52:54:00:00:00:01","romfile":"","mq":true,"vectors":10,"host_mtu":9000})");
}

TEST(HotplugPlan, OverVhostUserQemuGetsASocketAndTheBackendsLifeline) {
  HotplugNic nic = a_nic();
  nic.nic.fds = {};
  nic.nic.socket = "/run/x/0.sock";
  nic.nic.queues = 2;
  nic.lifeline = 9;
  nic.has_msix = false;
  const auto steps = plan_netdev(nic);
  EXPECT_EQ(words(steps),
            (std::vector<std::string>{
                R"(getfd {"fdname":"tap12-lifeline"} +9)",
                R"(chardev-add {"id":"tap12-socket","backend":{"type":"socket","data":{"addr":{"type":"unix","data":)"
                R"({"path":"/run/x/0.sock"}},"server":false}}})",
                R"(chardev-remove {"id":"tap12-socket"})",
                R"(chardev-add {"id":"tap12-socket","backend":{"type":"socket","data":{"addr":{"type":"unix","data":)"
                R"({"path":"/run/x/0.sock"}},"server":false,"reconnect":1}}})",
                R"(netdev_add {"type":"vhost-user","id":"tap12","chardev":"tap12-socket","queues":2})"}));
  const std::string remove = R"(chardev-remove {"id":"tap12-socket"})";
  EXPECT_EQ(undo_words(steps), (std::vector<std::string>{R"(closefd {"fdname":"tap12-lifeline"})", remove, remove,
                                                         remove, R"(netdev_del {"id":"tap12"})"}));
  EXPECT_TRUE(words({plan_device(nic)})[0].ends_with(R"("mq":true,"vectors":0})"));
}

TEST(HotplugPlan, IdsAreWhatQemuTakes) {
  for (const char* id : {"tap12", "a", "A-b_c.9"}) EXPECT_TRUE(is_device_id(id)) << id;
  for (const char* id : {"", "1tap", "-a", "a b", "a:b", "a/b", "caf\xc3\xa9"}) EXPECT_FALSE(is_device_id(id)) << id;
  EXPECT_TRUE(is_device_id(std::string(64, 'x')));
  EXPECT_FALSE(is_device_id(std::string(65, 'x')));
}

}  // namespace
}  // namespace tapferry
