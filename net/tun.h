// SPDX-License-Identifier: MIT
//
// Taps as /dev/net/tun makes them: the ioctls of drivers/net/tun.c (Documentation/networking/tuntap.rst).
// Each descriptor of a tap is one queue; the interface lives as long as one of them, unless it is persistent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

struct TapFlags {
  bool multi_queue = false;
  bool vnet_hdr = false;

  bool operator==(const TapFlags&) const = default;
};

// What TUNGETIFF and its kin tell of a descriptor.
struct TapQueue {
  std::string ifname;
  unsigned short flags = 0;  // IFF_TAP, IFF_NO_PI, ... as <linux/if_tun.h> has them
  unsigned vnet_hdr_sz = 0;  // bytes; 0 without IFF_VNET_HDR
};

// Makes a new tap on the fresh /dev/net/tun descriptor `fd`, never attaching to one that exists (IFF_TUN_EXCL). `name`
// may hold one %d for the kernel to fill in. Returns the interface's name. Needs CAP_NET_ADMIN; EBUSY: the name is taken.
Result<std::string> create_tap(int fd, const std::string& name, TapFlags flags);

// Adds a queue to the tap `name`. Without CAP_NET_ADMIN the kernel allows that to the tap's owner and group only
// (tun_not_capable()); it would create a missing tap only with that capability.
Status attach_tap(int fd, const std::string& name, TapFlags flags);

// Whom the kernel lets attach without privilege (TUNSETOWNER).
Status set_tap_owner(int fd, uint32_t uid);

// Length in bytes of the header before each frame (TUNSETVNETHDRSZ): of the interface, not of the queue alone.
Status set_vnet_hdr_sz(int fd, unsigned bytes);

// Whether the tap outlives its descriptors (TUNSETPERSIST).
Status set_tap_persistent(int fd, bool on);

// EBADFD: a tun descriptor without an interface; ENOTTY: something else altogether.
Result<TapQueue> describe_tap_queue(int fd);

// Whether the descriptor takes these TUN_F_* offloads (TUNSETOFFLOAD); those that were set before are lost.
bool accepts_offloads(int fd, unsigned tun_f_flags);

// `prefix` (6 bytes at most) and a number that isn't soon used again, unlike the kernel's lowest free one: whoever remembers
// a name that is gone then doesn't meet a stranger's interface. Milliseconds since boot, modulo 10^9 (eleven days), plus
// `attempt`.
std::string fresh_interface_name(std::string_view prefix, unsigned attempt);

}  // namespace tapferry
