// SPDX-License-Identifier: MIT
//
// macvtaps: an interface on top of another one (its lower device, the parent), whose frames are read and written through a
// character device; each open of that is a queue. The interface doesn't go with its last queue, as a tap does.
// drivers/net/macvlan.c, macvtap.c, tap.c.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/rtnl.h"
#include "net/spec.h"
#include "net/tun.h"

namespace tapferry {

// Whether a link of this kind has such a character device: "macvtap", or "ipvtap", which works alike.
bool has_tap_device(const std::string& kind);

struct NewMacvtap {
  std::string name;  // may hold no %
  int lower = 0;     // the parent's index
  MacvtapMode mode = MacvtapMode::kBridge;
  std::optional<Mac> mac;       // unset: random, and in passthru mode the parent's
  std::optional<unsigned> mtu;  // bytes; unset: the parent's
};

// Needs CAP_NET_ADMIN. EEXIST: the name is taken. EINVAL or EBUSY: this parent takes none in that mode (it is in
// passthru mode already, or was asked to be while others are on it).
Status create_macvtap(Rtnl& rtnl, const NewMacvtap& macvtap);

// What TUNSETIFF sets on a queue of a macvtap: no interface is made or chosen by it. Needs nothing.
Status set_macvtap_flags(int fd, const std::string& name, TapFlags flags);

// SIOCGIFHWADDR of a queue: the interface's MAC address. ENOLINK: the interface is gone.
Result<Mac> queue_mac(int fd);

// Hears of the character device that the kernel makes with a macvtap: its number is in the uevent that goes to the
// network namespace in which the interface is made. Device names (/dev/tap7) are no help: all namespaces share one devtmpfs.
class UeventSocket {
 public:
  // Opened before the interface is made. Needs nothing.
  static Result<UeventSocket> open();

  // The number of the device of the macvtap with this index, whose uevent is there when the kernel has acknowledged its making.
  Result<dev_t> device_of(int ifindex);

 private:
  explicit UeventSocket(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
};

// One uevent (lib/kobject_uevent.c): "add@PATH", then KEY=VALUE strings, each ended by a zero byte. The device's number if
// it tells of the new character device of the macvtap with this index.
std::optional<dev_t> parse_tap_uevent(std::string_view message, int ifindex);

}  // namespace tapferry
