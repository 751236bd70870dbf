// SPDX-License-Identifier: MIT
//
// A queue of the tap or macvtap that was handed over, made ready for a guest: without privilege, by ioctls that its holder may do
// (drivers/net/tun.c, drivers/net/tap.c). What is set on a queue holds for the whole tap, but for this queue of a macvtap only:
// set it on each.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class TapPort {
 public:
  // Checks that it is a queue of a tap or macvtap with a vnet header (IFF_TAP, IFF_VNET_HDR), makes it non-blocking and the header
  // little-endian, as VERSION_1 has it, takes off limits to what it has in flight (TUNSETSNDBUF), and sets no offloads.
  static Result<TapPort> open(Fd fd);

  int fd() const { return fd_.get(); }
  const std::string& ifname() const { return ifname_; }
  // Of the interface when it was opened, in bytes. 0 where that can't be known: the interface is in another network namespace.
  unsigned mtu() const { return mtu_; }

  // The TUN_F_* offloads of <linux/if_tun.h> that this kernel takes, among CSUM, TSO4, TSO6, TSO_ECN, and USO4 and USO6, which
  // come together (Linux 6.2).
  unsigned offloads() const { return offloads_; }
  // What the guest accepts: such frames come to it unchecked and uncut. Frames that are queued already stay as they are.
  Status set_offloads(unsigned tun_f_flags) const;

  // Length of the vnet header: 10 or 12 bytes.
  Status set_header_bytes(unsigned bytes) const;

  // Not after use_queue(false) on a tap's, where only the other queues can be asked and set. (A macvtap's can always be.)
  bool can_be_set() const;

  // Reads and forgets what is queued: a guest that was before had other offloads. Bounded, so that a fast sender doesn't
  // keep it here. Only while nobody else reads.
  void discard_queued() const;

 private:
  Fd fd_;
  std::string ifname_;
  unsigned mtu_ = 0;
  unsigned offloads_ = 0;
};

// Puts a queue of several out of use, or into use again (TUNSETQUEUE, Documentation/networking/tuntap.rst): the interface's frames
// go to the others then, and those that wait in it are lost. EINVAL if it is as wanted already, or is the only one.
Status use_queue(int fd, bool is_used);

inline constexpr unsigned kTunUso4 = 0x20;  // TUN_F_USO4, TUN_F_USO6: newer than Debian 12's headers
inline constexpr unsigned kTunUso6 = 0x40;

}  // namespace tapferry
