// SPDX-License-Identifier: MIT
//
// How many queues of a macvtap others hold, and proof that nobody does. /proc can't give it: a descriptor may be on its way in a socket, registered with an
// io_uring, or a process's that can't be seen from here. But the kernel allows a macvtap 256 queues and counts every one that
// is open anywhere (tap_set_queue() in drivers/net/tap.c). Who has opened 256, and gets EBUSY for the next, has all of
// them: nobody else holds it, and nobody else can open it until it is deleted.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/link.h"

namespace tapferry {

// The device number of a macvtap of this network namespace, by sysfs. Where a process may mount one (CAP_SYS_ADMIN) it is a
// private mount of this namespace's; else /sys, if what that says of the interface is what rtnetlink says.
Result<dev_t> macvtap_device(const Link& macvtap);

// All queues of a macvtap that nobody else holds. Each is switched off as soon as it is open, so that of a holder only frames
// that arrive within those microseconds are lost.
class MacvtapClaim {
 public:
  // `node` is a node of its device, which isn't needed any more afterwards. Needs a file system there that allows devices,
  // and 260 descriptors.
  static Result<MacvtapClaim> take(const Link& macvtap, const std::string& node);

  // 0: nobody holds it, and nobody can open it as long as this exists.
  size_t held_by_others() const;

  MacvtapClaim(MacvtapClaim&&) = default;
  MacvtapClaim& operator=(MacvtapClaim&&) = delete;
  MacvtapClaim(const MacvtapClaim&) = delete;
  MacvtapClaim& operator=(const MacvtapClaim&) = delete;
  ~MacvtapClaim();

 private:
  MacvtapClaim() = default;

  std::vector<Fd> queues_;
};

}  // namespace tapferry
