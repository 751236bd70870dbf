// SPDX-License-Identifier: MIT
#include "tools/guest_mac.h"

#include <cerrno>
#include <sys/random.h>

namespace tapferry {

Result<Mac> random_guest_mac() {
  Mac mac;
  mac.bytes = {0x52, 0x54, 0x00};
  // Up to 256 bytes come whole (getrandom(2)).
  if (getrandom(&mac.bytes[3], 3, 0) != 3) return Error::from_errno("read", "random bytes", errno);
  return mac;
}

Result<Mac> guest_mac(const Spec& spec, const std::optional<Mac>& macvtap_mac) {
  if (spec.guest_mac) return *spec.guest_mac;
  if (macvtap_mac) return *macvtap_mac;
  return random_guest_mac();
}

}  // namespace tapferry
