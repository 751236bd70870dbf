// SPDX-License-Identifier: MIT
#include "tools/inspect.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <glib.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
// vring_init() in it isn't C++.
#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace tapferry {
namespace {

// <linux/if_tun.h> of Linux 6.2; Debian 12's header is older.
constexpr unsigned kTunFUso4 = 0x20;
constexpr unsigned kTunFUso6 = 0x40;

constexpr struct {
  const char* name;
  unsigned flags;  // with what the kernel wants besides (set_offload() in drivers/net/tun.c)
} kOffloads[] = {
    {"csum", TUN_F_CSUM},
    {"tso4", TUN_F_CSUM | TUN_F_TSO4},
    {"tso6", TUN_F_CSUM | TUN_F_TSO6},
    {"ecn", TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN},
    {"ufo", TUN_F_CSUM | TUN_F_UFO},
    {"uso4", TUN_F_CSUM | kTunFUso4 | kTunFUso6},  // both or none
    {"uso6", TUN_F_CSUM | kTunFUso4 | kTunFUso6},
};

constexpr struct {
  const char* name;
  unsigned bit;
} kFlags[] = {{"tun", IFF_TUN},
              {"tap", IFF_TAP},
              {"napi", IFF_NAPI},
              {"napi_frags", IFF_NAPI_FRAGS},
              {"multi_queue", IFF_MULTI_QUEUE},
              {"persist", IFF_PERSIST},
              {"no_pi", IFF_NO_PI},
              {"vnet_hdr", IFF_VNET_HDR}};

// <linux/virtio_net.h>, <linux/virtio_config.h>, <linux/virtio_ring.h>, <linux/vhost_types.h>.
constexpr struct {
  unsigned bit;
  const char* name;
} kVhostFeatures[] = {{15, "mrg_rxbuf"},     {24, "notify_on_empty"}, {26, "log_all"},   {27, "virtio_net_hdr"},
                      {28, "indirect_desc"}, {29, "event_idx"},       {32, "version_1"}, {33, "access_platform"},
                      {34, "ring_packed"},   {35, "in_order"},        {40, "ring_reset"}};

// Misc devices, of include/linux/miscdevice.h.
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kTunMinor = 200;
constexpr unsigned kVhostNetMinor = 238;

constexpr struct {
  unsigned mode;
  MacvtapMode meaning;
} kModes[] = {{MACVLAN_MODE_PRIVATE, MacvtapMode::kPrivate},
              {MACVLAN_MODE_VEPA, MacvtapMode::kVepa},
              {MACVLAN_MODE_BRIDGE, MacvtapMode::kBridge},
              {MACVLAN_MODE_PASSTHRU, MacvtapMode::kPassthru},
              {MACVLAN_MODE_SOURCE, MacvtapMode::kSource}};

std::string mode_of(const Link& macvtap) {
  for (const auto& mode : kModes) {
    if (mode.mode == macvtap.macvlan_mode) return std::string(mode_name(mode.meaning));
  }
  return "unknown";
}

std::string path_of(int fd) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  g_autofree char* path = g_file_read_link(self.c_str(), nullptr);
  return path != nullptr ? path : "unknown";
}

std::string kind_of(const struct stat& status, const std::string& path) {
  if (S_ISSOCK(status.st_mode)) return "socket";
  if (S_ISFIFO(status.st_mode)) return "pipe";
  if (S_ISDIR(status.st_mode)) return "directory";
  if (S_ISREG(status.st_mode)) return "file";
  return path;
}

// The other vhost devices answer too, so the number is part of it.
std::optional<uint64_t> vhost_features_of(int fd, const struct stat& status) {
  uint64_t features = 0;
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(kMiscMajor, kVhostNetMinor)) return std::nullopt;
  if (ioctl(fd, VHOST_GET_FEATURES, &features) != 0) return std::nullopt;
  return features;
}

std::optional<Mac> mac_of(int fd) {
  ifreq request = {};
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return std::nullopt;
  Mac mac;
  memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

}  // namespace

FdFacts inspect_fd(int fd) {
  FdFacts facts;
  facts.is_nonblocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
  facts.is_cloexec = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
  facts.path = path_of(fd);
  struct stat status = {};
  if (fstat(fd, &status) != 0) return facts;
  facts.kind = kind_of(status, facts.path);
  facts.vhost_features = vhost_features_of(fd, status);
  if (facts.vhost_features) facts.kind = "vhost-net";
  auto queue = describe_tap_queue(fd);
  facts.is_tap = queue.is_ok() && (queue.value().flags & IFF_TAP) != 0;
  if (!facts.is_tap) return facts;
  // A macvtap answers as a tap does (drivers/net/tap.c), from a device of its own.
  facts.kind = status.st_rdev == makedev(kMiscMajor, kTunMinor) ? "tap queue" : "macvtap queue";
  facts.queue = std::move(queue).value();
  facts.mac = mac_of(fd);
  for (const auto& offload : kOffloads) {
    if (accepts_offloads(fd, offload.flags)) facts.offloads.emplace_back(offload.name);
  }
  (void)accepts_offloads(fd, 0);
  return facts;
}

Result<InterfaceFacts> inspect_interface(const std::vector<FdFacts>& fds) {
  const auto tap = std::find_if(fds.begin(), fds.end(), [](const FdFacts& fd) { return fd.is_tap; });
  if (tap == fds.end()) return Error("look at", "the interface", "no descriptor is a tap's");
  Rtnl rtnl = TRY(Rtnl::open());
  InterfaceFacts facts;
  facts.link = TRY(get_link(rtnl, tap->queue.ifname));
  if (!tap->mac || *tap->mac != facts.link.mac) {
    return Error("look at", tap->queue.ifname, "the interface of that name here is another one's");
  }
  if (facts.link.master != 0) {
    const Link master = TRY(get_link(rtnl, facts.link.master));
    facts.master = master.name;
    facts.master_mtu = master.mtu;
  }
  if (facts.link.kind != "macvtap") return facts;
  facts.mode = mode_of(facts.link);
  const auto lower = get_link(rtnl, facts.link.lower);
  if (!lower.is_ok() && lower.error().code() != ENODEV) return lower.error();
  if (lower.is_ok()) {
    facts.lower = lower.value().name;
    facts.lower_mtu = lower.value().mtu;
  }
  return facts;
}

std::vector<std::string> tap_flag_names(unsigned flags) {
  std::vector<std::string> names;
  for (const auto& flag : kFlags) {
    if (flags & flag.bit) names.emplace_back(flag.name);
  }
  return names;
}

std::vector<std::string> vhost_feature_names(uint64_t features) {
  std::vector<std::string> names;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if ((features >> bit & 1) == 0) continue;
    const auto* known = std::find_if(std::begin(kVhostFeatures), std::end(kVhostFeatures),
                                     [&](const auto& feature) { return feature.bit == bit; });
    names.push_back(known != std::end(kVhostFeatures) ? known->name : "bit " + std::to_string(bit));
  }
  return names;
}

}  // namespace tapferry
