// SPDX-License-Identifier: MIT
#include "tools/inspect.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <glib.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

std::string kind_of(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return "closed";
  if (S_ISSOCK(status.st_mode)) return "socket";
  if (S_ISFIFO(status.st_mode)) return "pipe";
  if (S_ISDIR(status.st_mode)) return "directory";
  if (S_ISREG(status.st_mode)) return "file";
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  g_autofree char* path = g_file_read_link(self.c_str(), nullptr);
  return path != nullptr ? path : "unknown";
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
  facts.kind = kind_of(fd);
  auto queue = describe_tap_queue(fd);
  facts.is_tap = queue.is_ok() && (queue.value().flags & IFF_TAP) != 0;
  if (!facts.is_tap) return facts;
  facts.kind = "tap queue";
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
  if (facts.link.master == 0) return facts;
  const Link master = TRY(get_link(rtnl, facts.link.master));
  facts.master = master.name;
  facts.master_mtu = master.mtu;
  return facts;
}

std::vector<std::string> tap_flag_names(unsigned flags) {
  std::vector<std::string> names;
  for (const auto& flag : kFlags) {
    if (flags & flag.bit) names.emplace_back(flag.name);
  }
  return names;
}

}  // namespace tapferry
