// SPDX-License-Identifier: MIT
#include "vhost/tap_port.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/syscall.h"
#include "net/netdevice.h"
#include "net/tun.h"

namespace tapferry {
namespace {

// More than a tap holds by default (tx_queue_len in drivers/net/tun.c is 1000).
constexpr unsigned kMaxDiscarded = 4096;

std::string descriptor(int fd) { return "descriptor " + std::to_string(fd); }

unsigned probe_offloads(int fd) {
  unsigned taken = 0;
  if (accepts_offloads(fd, TUN_F_CSUM)) {
    taken = TUN_F_CSUM;
    for (const unsigned more : {unsigned{TUN_F_TSO4}, unsigned{TUN_F_TSO6}, kTunUso4 | kTunUso6}) {
      if (accepts_offloads(fd, TUN_F_CSUM | more)) taken |= more;
    }
    const unsigned segmentation = taken & (TUN_F_TSO4 | TUN_F_TSO6);
    if (segmentation != 0 && accepts_offloads(fd, TUN_F_CSUM | segmentation | TUN_F_TSO_ECN)) taken |= TUN_F_TSO_ECN;
  }
  (void)accepts_offloads(fd, 0);
  return taken;
}

// As the queue itself tells, whichever network namespace its interface is in.
Result<HardwareBytes> queue_address(int fd) {
  ifreq request = {};
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return Error::from_errno("read the address of", descriptor(fd), errno);
  HardwareBytes bytes;
  memcpy(bytes.data(), request.ifr_hwaddr.sa_data, bytes.size());
  return bytes;
}

// An interface of that name may be another one, of this namespace.
Result<int> read_mtu(int fd, const std::string& ifname) {
  const HardwareBytes address = TRY(queue_address(fd));
  const Netdevice devices = TRY(Netdevice::open());
  const HardwareAddress here = TRY(devices.hardware_address(ifname));
  if (here.bytes != address) return Error("read the MTU of", ifname, "it is in another network namespace");
  return devices.mtu(ifname);
}

}  // namespace

Result<TapPort> TapPort::open(Fd fd) {
  // Whoever had it before may have ended while its guest had no use for it.
  (void)use_queue(fd.get(), true);
  auto queue = describe_tap_queue(fd.get());
  if (!queue.is_ok()) {
    return Error("use", descriptor(fd.get()), "not a queue of a tap or macvtap").with_detail(queue.error().reason());
  }
  const TapQueue& tap = queue.value();
  if (!(tap.flags & IFF_TAP)) return Error("use", tap.ifname, "it carries packets without Ethernet header (tun)");
  if (!(tap.flags & IFF_VNET_HDR)) {
    return Error("use", tap.ifname, "it has no vnet header").with_hint("hand it over with vnet_hdr=on");
  }
  TRY(set_nonblocking(fd.get(), true));
  // Where it isn't known the header has the host's byte order, which is the same here.
  const int is_little_endian = 1;
  (void)ioctl(fd.get(), TUNSETVNETLE, &is_little_endian);

  // A tap without a limit to what it has in flight never turns a frame away, and takes small ones the shorter way
  // (tun_can_build_skb() in drivers/net/tun.c). It has none unless somebody has set one.
  const int no_limit = INT_MAX;
  (void)ioctl(fd.get(), TUNSETSNDBUF, &no_limit);

  TapPort port;
  port.ifname_ = tap.ifname;
  port.offloads_ = probe_offloads(fd.get());
  const auto mtu = read_mtu(fd.get(), tap.ifname);
  port.mtu_ = mtu.is_ok() ? static_cast<unsigned>(mtu.value()) : 0;
  port.fd_ = std::move(fd);
  return port;
}

Status TapPort::set_offloads(unsigned tun_f_flags) const {
  if (!accepts_offloads(fd(), tun_f_flags)) return Error::from_errno("set the offloads of", ifname_, errno);
  return {};
}

bool TapPort::can_be_set() const {
  ifreq request = {};
  return ioctl(fd(), TUNGETIFF, &request) == 0 || errno != EBADFD;
}

Status TapPort::set_header_bytes(unsigned bytes) const { return set_vnet_hdr_sz(fd(), bytes); }

void TapPort::discard_queued() const {
  std::array<char, 16> start{};  // what doesn't fit is cut, and gone as well
  for (unsigned i = 0; i < kMaxDiscarded && read(fd(), start.data(), start.size()) > 0; ++i) continue;
}

Status use_queue(int fd, bool is_used) {
  ifreq request = {};
  request.ifr_flags = static_cast<short>(is_used ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
  if (ioctl(fd, TUNSETQUEUE, &request) == 0) return {};
  return Error::from_errno(is_used ? "put into use" : "put out of use", "a queue of the tap", errno);
}

}  // namespace tapferry
