// SPDX-License-Identifier: MIT
//
// What the ioctls of netdevice(7) have no room or no getter for, by rtnetlink; by index, so that it is the same interface's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "net/rtnl.h"

namespace tapferry {

struct NetdeviceDetail {
  unsigned flags = 0;              // IFF_*, all 32 bits
  std::vector<uint8_t> address;    // in its full length, which the ioctl doesn't tell
  std::vector<uint8_t> broadcast;  // of the hardware
  unsigned min_mtu = 0;            // bytes
  unsigned max_mtu = 0;            // bytes; 0: no limit but the driver's
};

// ENODEV: there is no interface of that index.
Result<NetdeviceDetail> read_netdevice_detail(Rtnl& rtnl, int index);

}  // namespace tapferry
