// SPDX-License-Identifier: MIT
#include "net/macvtap.h"

#include <cerrno>
#include <cstring>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

// The kernel has sent it before the making was acknowledged; this is for a kernel that is slower than that.
constexpr int kUeventTimeoutMs = 2000;
// UEVENT_BUFFER_SIZE is 2048, and the longest path may stand before it.
constexpr size_t kMaxUevent = 8192;
// The kernel's own uevents; udev sends what it made of them to group 2.
constexpr unsigned kKernelUevents = 1;

uint32_t mode_flag(MacvtapMode mode) {
  switch (mode) {
    case MacvtapMode::kBridge: return MACVLAN_MODE_BRIDGE;
    case MacvtapMode::kVepa: return MACVLAN_MODE_VEPA;
    case MacvtapMode::kPrivate: return MACVLAN_MODE_PRIVATE;
    case MacvtapMode::kPassthru: return MACVLAN_MODE_PASSTHRU;
    case MacvtapMode::kSource: return MACVLAN_MODE_SOURCE;
  }
  return MACVLAN_MODE_PRIVATE;
}

ifreq request_for(const std::string& name) {
  ifreq request = {};
  strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
  return request;
}

}  // namespace

bool has_tap_device(const std::string& kind) { return kind == "macvtap" || kind == "ipvtap"; }

Status create_macvtap(Rtnl& rtnl, const NewMacvtap& macvtap) {
  RtnlRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.family_header<ifinfomsg>();
  request.put_string(IFLA_IFNAME, macvtap.name);
  request.put_u32(IFLA_LINK, static_cast<uint32_t>(macvtap.lower));
  if (macvtap.mac) request.put_bytes(IFLA_ADDRESS, macvtap.mac->bytes.data(), macvtap.mac->bytes.size());
  if (macvtap.mtu) request.put_u32(IFLA_MTU, *macvtap.mtu);
  nlattr* info = request.begin_nest(IFLA_LINKINFO);
  request.put_string(IFLA_INFO_KIND, "macvtap");
  nlattr* data = request.begin_nest(IFLA_INFO_DATA);
  request.put_u32(IFLA_MACVLAN_MODE, mode_flag(macvtap.mode));
  request.end_nest(data);
  request.end_nest(info);
  return rtnl.change(request, "create macvtap", macvtap.name);
}

Status set_macvtap_flags(int fd, const std::string& name, TapFlags flags) {
  ifreq request = request_for(name);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (flags.vnet_hdr ? IFF_VNET_HDR : 0) |
                                         (flags.multi_queue ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd, TUNSETIFF, &request) != 0) return Error::from_errno("set the flags of a queue of", name, errno);
  return {};
}

Result<Mac> queue_mac(int fd) {
  ifreq request = {};
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return Error::from_errno("read", "a queue's MAC address", errno);
  Mac mac;
  memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

std::optional<dev_t> parse_tap_uevent(std::string_view message, int ifindex) {
  std::optional<uint64_t> major_number;
  std::optional<uint64_t> minor_number;
  bool is_add = false;
  bool is_macvtap = false;
  bool is_named_so = false;
  for (const std::string_view part : split(message, '\0')) {
    std::string_view value = part;
    if (consume_prefix(&value, "ACTION=")) is_add = value == "add";
    if (consume_prefix(&value, "SUBSYSTEM=")) is_macvtap = value == "macvtap";
    if (consume_prefix(&value, "DEVNAME=")) is_named_so = value == "tap" + std::to_string(ifindex);
    if (consume_prefix(&value, "MAJOR=")) major_number = parse_uint(value, 1, 4095);
    if (consume_prefix(&value, "MINOR=")) minor_number = parse_uint(value, 0, 1048575);
  }
  if (!is_add || !is_macvtap || !is_named_so || !major_number || !minor_number) return std::nullopt;
  return makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
}

Result<UeventSocket> UeventSocket::open() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelUevents;
  if (!socket.is_open() || bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("listen to", "the kernel's uevents", errno);
  }
  return UeventSocket(std::move(socket));
}

Result<dev_t> UeventSocket::device_of(int ifindex) {
  const std::string object = "interface number " + std::to_string(ifindex);
  char message[kMaxUevent];
  for (;;) {
    pollfd readable = {socket_.get(), POLLIN, 0};
    const int ready = retry_on_eintr([&] { return poll(&readable, 1, kUeventTimeoutMs); });
    if (ready <= 0) return Error::from_errno("find the device of", object, ready == 0 ? ETIMEDOUT : errno);
    sockaddr_nl sender = {};
    socklen_t length = sizeof sender;
    const ssize_t n = retry_on_eintr([&] {
      return recvfrom(socket_.get(), message, sizeof message, 0, reinterpret_cast<sockaddr*>(&sender), &length);
    });
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) return Error::from_errno("find the device of", object, errno);
    // Anybody may send here; the kernel's port is 0.
    if (sender.nl_pid != 0) continue;
    const auto device = parse_tap_uevent({message, static_cast<size_t>(n)}, ifindex);
    if (device) return *device;
  }
}

}  // namespace tapferry
